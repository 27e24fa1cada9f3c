"""Runs inside Blender's window: plays a scene as an artist would, with simulated events only.

    blender --enable-event-simulate --python stage.py -- SCENE OUT_DIR SERVER_ADDRESS

SCENE is a module beside this file with `play(stage)`, a generator: each `yield` lets Blender draw and work before the
next step, for a while or for as many seconds as it yields. The outcome goes to OUT_DIR/result.json, the pictures of
`stage.shot` beside it.
"""

import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
from mathutils import Vector

PAUSE = 0.15
GLANCE = 0.02
ROW = 16  # pixels; a button is 20 high
ADDON = "bl_ext.user_default.scanpick"
LIMIT = 600.0
DIGITS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
KEYS = {" ": "SPACE", **{str(digit): name for digit, name in enumerate(DIGITS)}}


class Stage:
    """The window as the artist's hands and eyes have it."""

    def __init__(self, out: Path, address: str):
        self.out = out
        self.address = address
        self.facts: dict[str, object] = {}
        self._place = 0
        self._seen: dict[str, list[tuple[float, float]]] = {}

    @property
    def window(self) -> bpy.types.Window:
        return bpy.context.window_manager.windows[self._place]

    def sit_at(self, place: int) -> None:
        """Go on in another of Blender's windows."""
        self._place = place

    @property
    def view(self) -> tuple[bpy.types.Area, bpy.types.Region]:
        area = self._area("VIEW_3D")
        return area, next(r for r in area.regions if r.type == "WINDOW")

    @property
    def session(self):
        return sys.modules[f"{ADDON}.session.session"].session

    @property
    def preferences(self) -> bpy.types.AddonPreferences:
        """The add-on's preferences."""
        return bpy.context.preferences.addons[ADDON].preferences

    def module(self, name: str):
        return sys.modules[f"{ADDON}.{name}"]

    def event(self, type: str, value: str = "PRESS", at: tuple[int, int] | None = None, **modifiers: bool) -> None:
        x, y = at or self.mouse
        self.window.event_simulate(type=type, value=value, x=int(x), y=int(y), **modifiers)

    mouse = (600, 400)

    def move(self, at: tuple[float, float], seconds: float = PAUSE) -> Iterator[float]:
        """Move the mouse to a place in the window, pixels from the lower left."""
        self.mouse = (int(at[0]), int(at[1]))
        self.event("MOUSEMOVE", "NOTHING")
        yield seconds

    def tap(self, type: str, **modifiers: bool) -> Iterator[None]:
        """Press and release a key or a button where the mouse is."""
        for name, key in (("ctrl", "LEFT_CTRL"), ("shift", "LEFT_SHIFT"), ("alt", "LEFT_ALT")):
            if modifiers.get(name):
                self.event(key, "PRESS", **{name: True})
        self.event(type, "PRESS", **modifiers)
        self.event(type, "RELEASE", **modifiers)
        for name, key in (("ctrl", "LEFT_CTRL"), ("shift", "LEFT_SHIFT"), ("alt", "LEFT_ALT")):
            if modifiers.get(name):
                self.event(key, "RELEASE")
        yield

    def click(self, at: tuple[float, float], **modifiers: bool) -> Iterator[None]:
        yield from self.move(at)
        yield from self.tap("LEFTMOUSE", **modifiers)

    def active_tool(self) -> str:
        with bpy.context.temp_override(window=self.window):
            return self.window.workspace.tools.from_space_view3d_mode("OBJECT", create=False).idname

    def tool(self, idname: str) -> tuple[float, float]:
        """Place of a tool's button in the viewport's toolbar."""
        from bl_ui.space_toolsystem_toolbar import VIEW3D_PT_tools_active

        area, _ = self.view
        region = next(r for r in area.regions if r.type == "TOOLS")
        y = region.height - 24
        for entry in VIEW3D_PT_tools_active._tools["OBJECT"]:
            if entry is None:
                y -= 5
                continue
            if _first(entry).idname == idname:
                return region.x + 29, region.y + y
            y -= 36
        raise AssertionError(f"there is no tool {idname} in the toolbar")

    def take_click_tool(self) -> Iterator[None]:
        """Choose Scanpick's tool in the toolbar."""
        yield from self.click(self.tool("scanpick.click_tool"))
        yield from self.until(lambda: self.active_tool() == "scanpick.click_tool", "the tool")

    def file_browser(self) -> Iterator[None]:
        """Wait until the file browser can be used: its area is returned by `yield from`."""
        yield from self.until(lambda: self._area("FILE_BROWSER") is not None, "the file browser")
        yield from self.pause(1.0)
        return self._area("FILE_BROWSER")

    def _area(self, type: str) -> bpy.types.Area | None:
        """The window's largest area of a type."""
        found = [area for area in self.window.screen.areas if area.type == type]
        return max(found, key=lambda area: area.width * area.height, default=None)

    def place_of(self, world: tuple[float, float, float]) -> tuple[float, float]:
        """Where a point of the scene is in the window."""
        area, region = self.view
        space = area.spaces.active
        flat = location_3d_to_region_2d(region, space.region_3d, Vector(world))
        return region.x + flat.x, region.y + flat.y

    def button(
        self, what: str, region: str = "UI", area: str = "VIEW_3D", across: tuple[float, ...] = (0.3, 0.75, 0.9)
    ) -> Iterator[None]:
        """Look for a button by what the button under the mouse does: its place is returned by `yield from`.

        what: an operator, like `scanpick.grow_mask`, or the end of a property's path, like `.threshold`.
        across: where to look, as shares of the region's width.
        """
        found, where = self._area(area), self._region(region, area)
        places = self._places(where, across)
        before = places[0]
        for place in [*self._seen.get(what, ()), *places]:
            yield from self.move(place, GLANCE)
            if what in self._under_mouse(found, where):
                for sure in (place, before):  # a busy Blender may still tell what was under the mouse before
                    yield from self.move(sure)
                    if what in self._under_mouse(found, where):
                        self._seen[what] = [sure]
                        return sure
            before = place
        raise AssertionError(f"there is no button for {what}")

    def field(
        self, owner: bpy.types.bpy_struct, name: str, region: str, area: str, across: tuple[float, ...]
    ) -> Iterator[None]:
        """Look for the field of a property of `owner` by the menu of its right mouse button: else like `button`.

        It finds what has no path, as keys in the preferences.
        """
        told: list[tuple[bpy.types.bpy_struct, str]] = []

        def tell(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
            if prop := getattr(context, "button_prop", None):
                told.append((context.button_pointer, prop.identifier))

        bpy.types.UI_MT_button_context_menu.append(tell)
        try:
            for place in self._places(self._region(region, area), across):
                for _ in range(2):  # a busy Blender may tell late
                    told.clear()
                    yield from self.move(place, GLANCE)
                    yield from self.tap("RIGHTMOUSE")
                    yield from self.tap("ESC")
                    if (owner, name) not in told:
                        break
                else:
                    return place
        finally:
            bpy.types.UI_MT_button_context_menu.remove(tell)
        raise AssertionError(f"there is no field for {name}")

    def _region(self, region: str, area: str) -> bpy.types.Region:
        return next(r for r in self._area(area).regions if r.type == region)

    def _places(self, region: bpy.types.Region, across: tuple[float, ...]) -> list[tuple[float, float]]:
        """Where buttons may be: in the rows of a region, at shares of its width."""
        return [
            (region.x + region.width * share, region.y + region.height - down)
            for share in across
            for down in range(8, region.height - 4, ROW)
        ]

    def _under_mouse(self, area: bpy.types.Area, region: bpy.types.Region) -> str:
        """What the button under the mouse does: its operator's call, or its property's path."""
        manager = bpy.context.window_manager
        manager.clipboard = ""
        with bpy.context.temp_override(window=self.window, area=area, region=region):
            if bpy.ops.ui.copy_python_command_button.poll():
                bpy.ops.ui.copy_python_command_button()
            elif bpy.ops.ui.copy_data_path_button.poll():
                bpy.ops.ui.copy_data_path_button(full_path=True)
        return manager.clipboard

    def press(self, what: str, **where: Any) -> Iterator[None]:
        """Find a button and click on it."""
        place = yield from self.button(what, **where)
        yield from self.click(place)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> Iterator[None]:
        """Pull with the left button held, in a few steps."""
        yield from self.move(start)
        self.event("LEFTMOUSE", "PRESS")
        yield
        for share in (0.1, 0.4, 0.7, 1.0):
            yield from self.move([a + share * (b - a) for a, b in zip(start, end, strict=True)])
        self.event("LEFTMOUSE", "RELEASE")
        yield

    def middle(self) -> tuple[float, float]:
        """The middle of the viewport."""
        _, region = self.view
        return region.x + region.width / 2, region.y + region.height / 2

    def pause(self, seconds: float) -> Iterator[None]:
        """Do nothing for a while, as a person who looks."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            yield

    def write(self, text: str) -> Iterator[None]:
        """Type a text of letters, digits and blanks."""
        for letter in text:
            key = KEYS.get(letter, letter.upper())
            self.window.event_simulate(type=key, value="PRESS", unicode=letter, x=self.mouse[0], y=self.mouse[1])
            self.event(key, "RELEASE")
            yield

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 30.0) -> Iterator[None]:
        """Wait as the artist does: Blender goes on drawing and polling."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:g} s for: {what}")
            yield

    def shot(self, name: str) -> Iterator[None]:
        """A picture of the window, after it was drawn: taken by the test outside, from the screen."""
        for _ in range(3):
            yield
        request = self.out / f"{name}.request"
        asked = self.out / f"{name}.asked"
        asked.write_text(os.environ.get("DISPLAY", ""))
        asked.replace(request)  # whole or not there: the test outside looks at any moment
        deadline = time.monotonic() + 60
        while request.exists() and time.monotonic() < deadline:
            yield

    def picture(self, name: str) -> Iterator[None]:
        """The window as sRGB float32 (H, W, 4) from the lower left, returned by `yield from`; the picture is kept."""
        yield from self.shot(name)
        assert (self.out / f"{name}.png").exists(), f"the screen was not photographed for {name}"
        image = bpy.data.images.load(str(self.out / f"{name}.png"))
        pixels = np.empty(image.size[0] * image.size[1] * 4, np.float32)
        image.pixels.foreach_get(pixels)
        shape = (image.size[1], image.size[0], 4)
        bpy.data.images.remove(image)
        return pixels.reshape(shape)

    def sidebar(self, tab: str = "Scanpick", width: int = 0) -> Iterator[None]:
        """Open the viewport's sidebar on a tab."""
        area, _ = self.view
        area.spaces.active.show_region_ui = True
        yield
        yield
        region = next(r for r in area.regions if r.type == "UI")
        region.active_panel_category = tab
        area.tag_redraw()
        yield
        yield


def _first(entry):
    """The tool that a toolbar entry shows: entries may be groups."""
    return entry[0] if isinstance(entry, (tuple, list)) and not hasattr(entry, "idname") else entry


def run(scene: str, stage: Stage) -> None:
    """Step the scene from a timer until it ends, then write the result and leave Blender."""
    sys.path.insert(0, str(Path(__file__).parent))
    started = time.monotonic()
    steps: list[Iterator[None]] = [importlib.import_module(scene).play(stage)]
    failed: list[str] = []

    def finish(error: str) -> None:
        result = {"error": error, "facts": stage.facts, "seconds": round(time.monotonic() - started, 1)}
        (stage.out / "result.json").write_text(json.dumps(result, indent=2, default=str))
        bpy.ops.wm.quit_blender()

    def step() -> float | None:
        try:
            if time.monotonic() - started > LIMIT and not failed:
                raise AssertionError(f"the scene was not over after {LIMIT:g} s")
            return next(steps[0]) or PAUSE
        except StopIteration:
            finish(failed[0] if failed else "")
            return None
        except BaseException:
            failed.append(traceback.format_exc())
            steps[0] = stage.shot("failure")
            return PAUSE

    bpy.app.timers.register(step, first_interval=1.5, persistent=True)


if __name__ == "__main__":
    name, out, address = sys.argv[sys.argv.index("--") + 1 :]
    run(name, Stage(Path(out), address))
