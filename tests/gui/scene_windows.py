"""One scan in two windows: a click in the first is seen in both, and after one is closed clicking goes on.

The second window is opened and closed by Blender's own operators: a title bar takes no simulated events.
"""

import bpy
from scene_edit_mode import members, open_scan


def play(stage):
    open_scan(stage)
    bpy.data.objects["scan"].data.scanpick.voxel_size = 0.04
    yield
    yield from stage.take_click_tool()
    windows = bpy.context.window_manager.windows
    with bpy.context.temp_override(window=stage.window, area=stage.view[0]):
        bpy.ops.wm.window_new()
    yield from stage.until(lambda: len(windows) == 2, "the second window")
    yield from stage.pause(1.0)
    yield from stage.click(stage.place_of((0.1, -0.1, 0.8)))
    yield from stage.until(lambda: bool(members("Object 1")), "the first mask")
    yield from stage.shot("1_two_windows")
    stage.sit_at(1)
    yield from stage.click(stage.place_of((-1.0, -1.0, 0.0)), ctrl=True)
    yield from stage.click(stage.place_of((0.3, 0.3, 0.8)))
    yield from stage.until(lambda: bpy.data.objects["scan"].data.scanpick.active_item().clicks >= 2, "more masks")
    yield from stage.shot("2_clicked_in_the_second")
    with bpy.context.temp_override(window=stage.window):
        bpy.ops.wm.window_close()
    stage.sit_at(0)
    yield from stage.until(lambda: len(windows) == 1, "the window to close")
    before = members("Object 1")
    yield from stage.click(stage.place_of((0.1, -0.4, 0.3)))
    yield from stage.until(lambda: members("Object 1") != before, "a mask after that")
    yield from stage.shot("3_closed")
    stage.facts["clicks"] = bpy.data.objects["scan"].data.scanpick.active_item().clicks
