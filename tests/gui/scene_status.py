"""The status bar while the click tool is active: its keys where Blender tells its own, and all else as ever."""

import bpy
import numpy as np
from scene_edit_mode import open_scan

ROWS = slice(6, 26)  # of the screen's pixels, from below


def play(stage):
    bars = {}

    def look(name: str):
        """Keep what the status bar shows when the mouse comes into the viewport."""
        yield from stage.move((stage.view[0].x + 300, 40))  # Blender looks again where the mouse enters
        x, y = stage.middle()
        yield from stage.move((x + 30, y))
        yield from stage.move((x, y))
        yield from stage.pause(0.8)
        bars[name] = (yield from stage.picture(name))[ROWS, :, :3]

    def look_around(tool: str):
        """The status bar with a tool at rest, while something is moved, in Edit Mode and in a workspace without it."""
        yield from look(f"{tool}_at_rest")
        yield from stage.tap("G")
        yield from look(f"{tool}_moving")
        yield from stage.tap("ESC")
        yield from stage.tap("TAB")
        yield from look(f"{tool}_edit_mode")
        yield from stage.tap("TAB")
        stage.window.workspace = bpy.data.workspaces["UV Editing"]
        yield from stage.pause(0.5)
        yield from look(f"{tool}_elsewhere")
        stage.window.workspace = bpy.data.workspaces["Layout"]
        yield from look(f"{tool}_again")

    open_scan(stage)
    bpy.context.preferences.view.show_statusbar_stats = True
    yield
    yield from look_around("box")
    yield from stage.take_click_tool()
    yield from look_around("click")
    bpy.context.preferences.view.show_statusbar_stats = False
    yield from look("no_statistics")
    _, region = stage.view
    yield from stage.click((region.x + 150, region.y + region.height - 80))
    bars["report"] = (yield from stage.picture("report"))[ROWS, :, :3]

    def share(first: str, second: str) -> float:
        """How much of two bars is different."""
        return float((np.abs(bars[first] - bars[second]).max(axis=2) > 0.1).mean())

    for where in ("moving", "edit_mode", "elsewhere", "at_rest"):
        stage.facts[where] = share(f"box_{where}", f"click_{where}")
    stage.facts["again"] = share("click_at_rest", "click_again")
    stage.facts["statistics"] = share("click_again", "no_statistics")
    stage.facts["report"] = share("no_statistics", "report")
