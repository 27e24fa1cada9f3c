"""The half of `benchmark redraw` that runs in Blender's window: times redraws of the 3D viewport.

blender --python inside_redraw.py -- SCAN.npz ZIP OUT.json
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import bpy
import gpu
import numpy as np
from mathutils import Euler

sys.path.insert(0, str(Path(__file__).parent))
from inside_blender import install, module, open_scan

ROUNDS, REDRAWS = 10, 5
OBJECTS, CLICKS = 10, 5
WAYS = ("nothing", "plain", "overlay")
SETTLING = 2.0  # seconds until the window has its size


class Plain:
    """The points drawn in the simplest way there is: one batch, Blender's own shader, nothing looked up."""

    def __init__(self, positions: np.ndarray, colors: np.ndarray, size: float):
        names = ("POINT_FLAT_COLOR", "FLAT_COLOR")  # the first is of newer Blenders; there the other has no size
        self._size = size
        for name in names:
            try:
                self._shader = gpu.shader.from_builtin(name)
                self._sized = name == names[0]
                break
            except ValueError:
                continue
        layout = gpu.types.GPUVertFormat()
        layout.attr_add(id="pos", comp_type="F32", len=3, fetch_mode="FLOAT")
        layout.attr_add(id="color", comp_type="F32", len=4, fetch_mode="FLOAT")
        buffer = gpu.types.GPUVertBuf(layout, len(positions))
        buffer.attr_fill("pos", positions)
        rgba = np.concatenate([colors / 255, np.ones((len(colors), 1))], axis=1).astype(np.float32)
        buffer.attr_fill("color", rgba)
        self._batch = gpu.types.GPUBatch(type="POINTS", buf=buffer)

    def draw(self) -> None:
        gpu.state.depth_test_set("LESS_EQUAL")
        gpu.state.depth_mask_set(True)
        if self._sized:
            gpu.state.program_point_size_set(True)
            self._shader.uniform_float("size", self._size)
        else:
            gpu.state.point_size_set(self._size)
        self._batch.draw(self._shader)
        gpu.state.program_point_size_set(False)
        gpu.state.depth_test_set("NONE")


class View:
    """The 3D viewport of the window, drawn in one of WAYS."""

    def __init__(self, plain: Plain):
        self.way = WAYS[0]
        self._plain = plain
        self._ended = (0.0, 0.0)
        self.window = bpy.context.window_manager.windows[0]
        self.area = max((a for a in self.window.screen.areas if a.type == "VIEW_3D"), key=lambda a: a.width * a.height)
        self.region = next(r for r in self.area.regions if r.type == "WINDOW")
        add = bpy.types.SpaceView3D.draw_handler_add
        add(self._draw_plain, (), "WINDOW", "POST_VIEW")
        add(self._finish, (), "WINDOW", "POST_PIXEL")

    def _draw_plain(self) -> None:
        if self.way == "plain":
            self._plain.draw()

    def _finish(self) -> None:
        """The last handler of a redraw: reading a pixel waits until all of it is drawn."""
        gpu.state.active_framebuffer_get().read_color(0, 0, 1, 1, 4, 0, "FLOAT")
        self._ended = time.perf_counter(), time.process_time()

    def redraw(self) -> tuple[float, float]:
        """Seconds by the wall and of the processor, software rendering included."""
        with bpy.context.temp_override(window=self.window, area=self.area, region=self.region):
            began = time.perf_counter(), time.process_time()
            bpy.ops.wm.redraw_timer(type="DRAW", iterations=1)
        if self._ended[0] < began[0]:
            raise RuntimeError("the viewport was not drawn")
        return self._ended[0] - began[0], self._ended[1] - began[1]


def main(scan: str, zip_file: str) -> dict:
    install(zip_file, "tcp://127.0.0.1:9")  # no click is sent
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0]):
        obj = open_scan(scan)
        objects_on(obj)
    points = np.load(scan)
    settings = module("overlay.settings").get()
    plain = Plain(points["positions"], points["colors"], module("overlay.draw")._point_size(obj, settings))
    view = View(plain)
    look_down(view, points["positions"])
    module("tool.hover").current = module("tool.hover").Hover(
        view.region.as_pointer(), obj.session_uid, tuple(float(c) for c in points["positions"][1]), True
    )
    settings.mode = "LABELS"  # the one that has a legend
    times = {way: [] for way in WAYS}
    for _ in range(ROUNDS):
        for way in WAYS:
            view.way, settings.show = way, way == "overlay"
            view.redraw()  # untimed: the first one after a change makes and uploads
            times[way] += [view.redraw() for _ in range(REDRAWS)]
    return {
        "blender": bpy.app.version_string,
        "graphics": gpu.platform.renderer_get(),
        "size": [view.region.width, view.region.height],
        "redraws": ROUNDS * REDRAWS,
        "ways": {
            way: dict(zip(("wall", "processor"), np.median(found, axis=0).tolist(), strict=True))
            for way, found in times.items()
        },
    }


def objects_on(obj: bpy.types.Object) -> None:
    """Ten objects, a tenth of the vertices each, the last one chosen and with clicks."""
    application, edits, vertex_set = (
        module(name) for name in ("session.application", "session.edits", "scan.vertex_set")
    )
    geometry = module("scan.geometry").Geometry(obj)
    positions = module("scan.geometry").coordinates(obj.data)
    tenths = np.arange(len(positions)) * OBJECTS // len(positions)
    for place in range(OBJECTS):
        number = edits.create(geometry)
        changes = []
        for vertex in np.linspace(0, len(positions) - 1, CLICKS).astype(int).tolist():
            data = {"sign": 1, "points": [[*positions[vertex].tolist(), vertex]], "n": len(positions)}
            changes.append(("click", number, {**data, "pins": vertex_set.pack(np.array([vertex]))}))
        clicks = changes if place == OBJECTS - 1 else []
        application.apply_mask(
            geometry, number, tenths == place, application.Noticed(), clicks, module("session.undo").Step.CLICK
        )


def look_down(view: View, positions: np.ndarray) -> None:
    """From above at a slant, so near that the points fill the view."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    look = view.area.spaces.active.region_3d
    look.view_perspective = "PERSP"
    look.view_location = ((low + high) / 2).tolist()
    look.view_rotation = Euler((0.9, 0, 0.6)).to_quaternion()
    look.view_distance = float(np.linalg.norm(high - low)) * 0.7
    view.redraw()


def play(scan: str, zip_file: str, out: str) -> None:
    """Measure, write and leave; without figures where something fails."""
    try:
        Path(out).write_text(json.dumps(main(scan, zip_file)), encoding="utf-8")
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    bpy.ops.wm.quit_blender()


if __name__ == "__main__":
    bpy.app.timers.register(lambda: play(*sys.argv[-3:]), first_interval=SETTLING, persistent=True)
