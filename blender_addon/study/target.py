"""Showing the participant what is asked for: a frame around the object, drawn in the viewport."""

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix, Vector

COLOR = (1.0, 1.0, 0.2, 1.0)
WIDTH = 2.0
_EDGES = [(a, b) for a in range(8) for b in range(a + 1, 8) if bin(a ^ b).count("1") == 1]

_frame: tuple[int, list[Vector]] | None = None
_handle: object | None = None


def show(obj: bpy.types.Object, points: np.ndarray) -> None:
    """Frame these points, float (K, 3) in the object's own coordinates."""
    global _frame
    low, high = points.min(axis=0), points.max(axis=0)
    corners = [Vector([(low, high)[corner >> axis & 1][axis] for axis in range(3)]) for corner in range(8)]
    _frame = (obj.session_uid, corners)


def hide() -> None:
    global _frame
    _frame = None


def corners() -> list[Vector] | None:
    """Corners of the frame in the object's own coordinates, None where there is none."""
    return _frame[1] if _frame is not None else None


def _draw() -> None:
    if _frame is None:
        return
    obj = next((o for o in bpy.context.view_layer.objects if o.session_uid == _frame[0]), None)
    if obj is None or not obj.visible_get():
        return
    matrix: Matrix = obj.matrix_world
    lines = [tuple(matrix @ _frame[1][end]) for edge in _EDGES for end in edge]
    shader = gpu.shader.from_builtin("POLYLINE_UNIFORM_COLOR")
    region = bpy.context.region
    gpu.state.depth_test_set("NONE")
    gpu.state.blend_set("ALPHA")
    shader.uniform_float("viewportSize", (region.width, region.height))
    shader.uniform_float("lineWidth", WIDTH)
    shader.uniform_float("color", COLOR)
    batch_for_shader(shader, "LINES", {"pos": lines}).draw(shader)
    gpu.state.blend_set("NONE")


def register() -> None:
    global _handle
    if not bpy.app.background:
        _handle = bpy.types.SpaceView3D.draw_handler_add(_draw, (), "WINDOW", "POST_VIEW")


def unregister() -> None:
    global _handle
    if _handle is not None:
        bpy.types.SpaceView3D.draw_handler_remove(_handle, "WINDOW")
        _handle = None
    hide()
