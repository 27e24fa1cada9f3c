"""Clicks as markers, the vertex under the mouse, the voxel cube and the legend: drawn in pixels."""

import math

import blf
import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Vector

from ..scan.geometry import SCAN_TYPES
from ..session import object_list
from ..session.session import Session
from ..session.state import Place, Press
from ..tool import hover
from ..tool.seeing import is_shown, view_of
from . import hidden, settings

POSITIVE, NEGATIVE = (0.25, 0.9, 0.3, 1.0), (0.95, 0.25, 0.2, 1.0)
EDGE = (0.05, 0.05, 0.05, 1.0)
WHITE = (1.0, 1.0, 1.0, 0.9)
CORNERS = 20
LEGEND_LINES = 12


class _Shapes:
    """Flat coloured triangles, drawn at once."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.colors: list[tuple[float, float, float, float]] = []

    def disc(self, x: float, y: float, radius: float, color: tuple, inner: float = 0.0) -> None:
        for i in range(CORNERS):
            a, b = (2 * math.pi * k / CORNERS for k in (i, i + 1))
            out_a, out_b = (x + radius * math.cos(a), y + radius * math.sin(a)), (
                x + radius * math.cos(b), y + radius * math.sin(b))  # fmt: skip
            in_a, in_b = (x + inner * math.cos(a), y + inner * math.sin(a)), (
                x + inner * math.cos(b), y + inner * math.sin(b))  # fmt: skip
            self.points += [out_a, out_b, in_a, out_b, in_b, in_a]
            self.colors += [color] * 6

    def box(self, x: float, y: float, width: float, height: float, color: tuple) -> None:
        corners = [(x, y), (x + width, y), (x, y + height), (x + width, y), (x + width, y + height), (x, y + height)]
        self.points += corners
        self.colors += [color] * 6

    def sign(self, x: float, y: float, radius: float, positive: bool) -> None:
        """A marker: plus or minus on a disc."""
        color = POSITIVE if positive else NEGATIVE
        self.disc(x, y, radius + 1.5, EDGE)
        self.disc(x, y, radius, color)
        arm, half = radius * 0.6, max(1.0, radius * 0.16)
        self.box(x - arm, y - half, 2 * arm, 2 * half, EDGE)
        if positive:
            self.box(x - half, y - arm, 2 * half, 2 * arm, EDGE)

    def draw(self) -> None:
        if self.points:
            program = gpu.shader.from_builtin("FLAT_COLOR")
            batch_for_shader(program, "TRIS", {"pos": self.points, "color": self.colors}).draw(program)


def place(region: bpy.types.Region, region_3d: bpy.types.RegionView3D, obj: bpy.types.Object, local: tuple):
    """Pixels of a point of the mesh's own coordinates; None behind the eye or where the view is clipped."""
    view = view_of(region, region_3d, obj)
    point = np.array([*local, 1.0])
    if len(view.planes) and (view.planes @ point <= 0).any():
        return None
    x, y, _, w = view.matrix @ point
    if w <= 0:
        return None
    return (x / w + 1) * region.width / 2, (y / w + 1) * region.height / 2


def draw(context: bpy.types.Context, view: settings.ScanpickView, session: Session, now: float) -> None:
    region, region_3d = context.region, context.region_data
    obj = context.object
    gpu.state.blend_set("ALPHA")
    try:
        if obj is None or obj.type not in SCAN_TYPES or not is_shown(obj, context.space_data):
            return
        scale = context.preferences.system.ui_scale
        shapes = _Shapes()
        _draw_clicks(shapes, obj, region, region_3d, session, scale, now)
        over = hover.current
        if over is not None and over.region == region.as_pointer() and over.object_uid == obj.session_uid:
            at = place(region, region_3d, obj, over.local)
            if at is not None:
                shapes.disc(*at, 9 * scale, EDGE, 6.5 * scale)
                shapes.disc(*at, 8.2 * scale, POSITIVE if over.positive else NEGATIVE, 7 * scale)
        if view.legend and view.mode != "RGB":
            _draw_legend(shapes, context, obj, scale)
        shapes.draw()
        if view.legend and view.mode != "RGB":
            _draw_names(context, obj, scale)
        _draw_voxel(context, obj, region, region_3d, session)
    finally:
        gpu.state.blend_set("NONE")


def _draw_clicks(
    shapes: _Shapes,
    obj: bpy.types.Object,
    region: bpy.types.Region,
    region_3d: bpy.types.RegionView3D,
    session: Session,
    scale: float,
    now: float,
) -> None:
    presses = _presses(obj)
    waiting = session.pending.of_data(obj.data.session_uid)
    for press in presses:
        last = press is presses[-1] and not waiting
        for clicked in _places(obj, press):
            at = place(region, region_3d, obj, clicked)
            if at is not None:
                shapes.sign(*at, (8 if last else 5.5) * scale, press.positive)
    for pending in waiting:
        for local, positive in pending.markers:
            at = place(region, region_3d, obj, local)
            if at is not None:
                shapes.sign(*at, 8 * scale, positive)
                grown = 12 + 6 * (now * 1.5 % 1.0)  # a ring that spreads: the mask is on its way
                fading = (1.0, 1.0, 1.0, 1.0 - now * 1.5 % 1.0)
                shapes.disc(*at, grown * scale, fading, (grown - 2) * scale)


def _places(obj: bpy.types.Object, press: Press) -> list[Place]:
    """Where the clicks of a press are, in the object's own coordinates."""
    positions = obj.data.attributes.get("position")  # not there in Edit Mode
    count = len(positions.data) if positions is not None else 0
    return [clicked for clicked, _ in press.places(count, lambda vertex: positions.data[vertex].vector)]


def _presses(obj: bpy.types.Object) -> tuple[Press, ...]:
    """Clicks of the chosen object, where it is shown."""
    item, state = obj.data.scanpick.active_item(), object_list.shown_state(obj.data.session_uid)
    shown = item is not None and state is not None and item.number not in hidden.numbers(obj)
    known = state.get(item.number) if shown else None
    return known.presses if known is not None else ()


def _legend_items(obj: bpy.types.Object) -> list:
    not_shown = hidden.numbers(obj)
    return [item for item in obj.data.scanpick.objects if item.visible and item.number not in not_shown]


def _legend_corner(context: bpy.types.Context, lines: int, scale: float) -> tuple[float, float]:
    tools = next((r for r in context.area.regions if r.type == "TOOLS"), None)
    left = tools.width if tools is not None and context.preferences.system.use_region_overlap else 0
    # the lowest line stays above Blender's "Adjust Last Operation"
    return left + 20 * scale, 40 * scale + lines * 18 * scale


def _draw_legend(shapes: _Shapes, context: bpy.types.Context, obj: bpy.types.Object, scale: float) -> None:
    items = _legend_items(obj)[:LEGEND_LINES]
    x, y = _legend_corner(context, len(items), scale)
    for line, item in enumerate(items):
        shapes.box(x, y - line * 18 * scale, 11 * scale, 11 * scale, (*item.color, 1.0))


def _draw_names(context: bpy.types.Context, obj: bpy.types.Object, scale: float) -> None:
    listed = _legend_items(obj)
    items = listed[:LEGEND_LINES]
    x, y = _legend_corner(context, len(items), scale)
    blf.size(0, 11 * scale)
    blf.enable(0, blf.SHADOW)
    blf.shadow(0, 3, 0, 0, 0, 0.8)
    blf.color(0, *WHITE)
    for line, item in enumerate(items):
        blf.position(0, x + 17 * scale, y - line * 18 * scale + 1, 0)
        blf.draw(0, item.name)
    left = len(listed) - len(items)
    if left > 0:
        blf.position(0, x, y - len(items) * 18 * scale + 1, 0)
        blf.draw(0, f"and {left} more")
    blf.disable(0, blf.SHADOW)


def _draw_voxel(
    context: bpy.types.Context,
    obj: bpy.types.Object,
    region: bpy.types.Region,
    region_3d: bpy.types.RegionView3D,
    session: Session,
) -> None:
    """The working voxel as a wire cube where the mouse, the last click or the 3D cursor is."""
    scan = session.known_scan(obj)
    size = obj.data.scanpick.voxel_size or (scan.proposal.voxel_size if scan is not None else 0.0)
    if not size or not settings.get().voxel:
        return
    units = context.scene.unit_settings
    edge = size / (units.scale_length if units.system != "NONE" else 1.0)
    center = _voxel_place(context, obj)
    corners = [Vector((x, y, z)) * edge / 2 + center for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    world = np.array(region_3d.perspective_matrix)
    flat = []
    for corner in corners:
        x, y, _, w = world @ np.array([*corner, 1.0])
        if w <= 0:
            return
        flat.append(((x / w + 1) * region.width / 2, (y / w + 1) * region.height / 2))
    edges = [(a, b) for a in range(8) for b in range(a) if (a ^ b) in (1, 2, 4)]
    program = gpu.shader.from_builtin("UNIFORM_COLOR")
    program.uniform_float("color", (1.0, 0.85, 0.2, 1.0))
    batch_for_shader(program, "LINES", {"pos": flat}, indices=edges).draw(program)


def _voxel_place(context: bpy.types.Context, obj: bpy.types.Object) -> Vector:
    over = hover.current
    if over is not None and over.object_uid == obj.session_uid:
        return obj.matrix_world @ Vector(over.local)
    presses = _presses(obj)
    if presses:
        return obj.matrix_world @ Vector(_places(obj, presses[-1])[0])
    return context.scene.cursor.location.copy()
