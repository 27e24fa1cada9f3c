"""What lies under the mouse: vertices of clouds by projection, places on meshes by rays; kept between moves."""

import zlib
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Vector

from ..scan.geometry import coordinates, same_bits, triangles_of
from ..session import watch
from .picking import Projection, View, near
from .surface import Hit, Surface

HOVER_LIMIT = 3_000_000  # points that a view change projects while hovering; a click looks at all


@dataclass(frozen=True)
class Sight:
    """A place on the scan: `vertex` is the vertex seen, or the face's corner nearest to it (of a mesh that modifiers or
    shape keys show otherwise, the vertex nearest to it); `local` the mesh's own coordinates of what was hit."""

    vertex: int
    local: tuple[float, float, float]


@dataclass
class _Shape:
    """What is kept of an object between moves of the mouse."""

    raw: np.ndarray
    axes: np.ndarray  # float32 (3, M), of every `step`-th vertex
    step: int
    surface: Surface | None  # as its modifiers show it
    as_it_is: bool  # whether that has the vertices of the mesh itself
    faces: tuple  # what it was made of, in short
    projections: dict[int, Projection]
    version: tuple
    hidden: np.ndarray | None = None  # bool (N,): the vertices that the projections leave out


_shapes: dict[int, _Shape] = {}

_PAUSE = 0.001  # seconds between two parts of a surface, for everything else that waits


def forget_all() -> None:
    _shapes.clear()


def _grow() -> float | None:
    """Timer: the next part of a surface that was looked at before it was whole."""
    for shape in _shapes.values():
        if shape.surface is not None and not shape.surface.whole:
            shape.surface.grow()
            return _PAUSE
    return None


def _shape(obj: bpy.types.Object) -> _Shape:
    known = _shapes.get(obj.data.session_uid)
    version = watch.version(obj.data.session_uid)
    if known is not None and known.version == version:
        return known
    raw, faces = coordinates(obj.data), _faces(obj, version)
    if known is not None and known.faces == faces and same_bits(raw, known.raw):
        known.version = version
        return known
    step = max(1, -(-len(raw) // HOVER_LIMIT))
    surface, as_it_is = _surface(obj, raw)
    shape = _Shape(raw, np.ascontiguousarray(raw[::step].T), step, surface, as_it_is, faces, {}, version)
    there = {data.session_uid for data in (*bpy.data.meshes, *bpy.data.pointclouds)}
    for uid in _shapes.keys() - there:
        del _shapes[uid]
    _shapes[obj.data.session_uid] = shape
    return shape


def _surface(obj: bpy.types.Object, raw: np.ndarray) -> tuple[Surface | None, bool]:
    """The faces that are shown, and whether their vertices are the positions (N, 3) of the mesh itself."""
    if obj.type != "MESH" or not len(obj.data.polygons):
        return None, True
    shown = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    try:
        mesh = shown.to_mesh()
        triangles, positions = triangles_of(mesh), coordinates(mesh)
    finally:
        shown.to_mesh_clear()
    return None if triangles is None else Surface(positions, triangles), same_bits(positions, raw)


def _faces(obj: bpy.types.Object, version: tuple) -> tuple:
    """What tells whether the faces that are shown changed; with modifiers or shape keys any change may have done it."""
    if obj.type != "MESH":
        return ()
    if obj.data.shape_keys is not None or any(modifier.show_viewport for modifier in obj.modifiers):
        return (version,)
    corners = np.empty(len(obj.data.loops), dtype=np.int32)
    obj.data.loops.foreach_get("vertex_index", corners)
    return len(obj.data.polygons), zlib.crc32(corners)


def is_shown(obj: bpy.types.Object, space: bpy.types.SpaceView3D) -> bool:
    """Whether a viewport shows an object: Blender's own answer about a viewport passes over disabled collections, and
    over excluded ones that have instances."""
    return obj.visible_get() and obj.visible_in_viewport_get(space)


def view_of(region: bpy.types.Region, region_3d: bpy.types.RegionView3D, obj: bpy.types.Object) -> View:
    """How the region sees the object's own coordinates."""
    world = np.array(obj.matrix_world, dtype=np.float64)
    # not Blender's product of the two: in single precision it is metres off, some kilometres from the origin
    window, view = (np.array(m, dtype=np.float64) for m in (region_3d.window_matrix, region_3d.view_matrix))
    matrix = window @ view @ world
    planes = np.empty((0, 4))
    if region_3d.use_clip_planes:
        planes = np.array([list(p) for p in region_3d.clip_planes][:4], dtype=np.float64) @ world
    return View(matrix, (region.width, region.height), planes)


def sight(
    obj: bpy.types.Object,
    region: bpy.types.Region,
    region_3d: bpy.types.RegionView3D,
    mouse: tuple[float, float],
    point_size: float,
    exact: bool,
    culled: bool = False,
    hidden: np.ndarray | None = None,
) -> Sight | None:
    """What of the object is seen at `mouse` (pixels of the region); None for nothing.

    Args:
        point_size: pixels that the overlay draws a point with; what is drawn under the cursor is what is meant.
        exact: look at all of a scan that is too large for that on every view change, or was not looked at before;
            else nothing may be seen of it for a while.
        culled: whether the backs of faces are not shown.
        hidden: bool (N,), vertices of a cloud that are not shown; another array where they are others.
    """
    shape = _shape(obj)
    if shape.surface is not None:
        if not _ready(shape.surface, exact):
            return None
        return _hit(obj, shape, region, region_3d, mouse, exact, culled)
    view = view_of(region, region_3d, obj)
    radius = point_size / 2 + 0.5
    if shape.hidden is not hidden:
        shape.hidden = hidden
        shape.projections.clear()
    if exact and shape.step > 1:
        close = near(shape.raw, view, *mouse)
        if hidden is not None:
            close = close[~hidden[close]]
        vertex = Projection(np.ascontiguousarray(shape.raw[close].T), view).pick(*mouse, drawn_radius=radius)
        vertex = int(close[vertex]) if vertex >= 0 else -1
    else:
        key = region.as_pointer()
        projection = shape.projections.get(key)
        if projection is None or not projection.view.same_as(view):
            left_out = None if hidden is None else hidden[:: shape.step]
            projection = shape.projections[key] = Projection(shape.axes, view, left_out)
        vertex = projection.pick(*mouse, drawn_radius=radius)
        vertex = vertex * shape.step if vertex >= 0 else -1
    if vertex < 0:
        return None
    x, y, z = (float(c) for c in shape.raw[vertex])
    return Sight(vertex, (x, y, z))


def _ready(surface: Surface, now: bool) -> bool:
    """Whether all of a surface can be hit; where not, it is completed by and by, or `now`."""
    while not surface.whole:
        surface.grow()
        if not now:
            break
    if not surface.whole and not bpy.app.timers.is_registered(_grow):
        bpy.app.timers.register(_grow)
    return surface.whole


def _hit(
    obj: bpy.types.Object,
    shape: _Shape,
    region: bpy.types.Region,
    region_3d: bpy.types.RegionView3D,
    mouse: tuple[float, float],
    exact: bool,
    culled: bool,
) -> Sight | None:
    found = view_of(region, region_3d, obj).ray(*mouse)
    if found is None:
        return None
    start, ray = shape.surface.ray_from_near(*found)
    for _ in range(64):
        hit = shape.surface.hit(start, ray)
        if hit is None:
            return None
        place = hit.place
        back = culled and hit.normal.dot(ray) > 0  # mirrored objects too: Blender turns their faces round
        if not back and not _clipped(region_3d, obj.matrix_world @ place):
            vertex = _corner(shape, hit) if shape.as_it_is else _nearest(shape, place, exact)
            return Sight(vertex, (place.x, place.y, place.z))
        start = place + ray * max(1e-5, place.length * 1e-6)
    return None


def culls(shading: bpy.types.View3DShading, engine: str, obj: bpy.types.Object) -> bool:
    """Whether a viewport leaves out the backs of an object's faces: where all of its materials ask for it, if those are
    shown, and by an engine that listens (Cycles does not)."""
    if shading.type == "SOLID":
        return shading.show_backface_culling
    materials = [slot.material for slot in obj.material_slots]
    listens = shading.type == "MATERIAL" or (shading.type == "RENDERED" and engine.startswith("BLENDER_EEVEE"))
    return listens and bool(materials) and all(m is not None and m.use_backface_culling for m in materials)


def _clipped(region_3d: bpy.types.RegionView3D, world: Vector) -> bool:
    if not region_3d.use_clip_planes:
        return False
    return any(Vector(p[:3]).dot(world) + p[3] <= 0 for p in list(region_3d.clip_planes)[:4])


def _corner(shape: _Shape, hit: Hit) -> int:
    """The corner of the triangle that is nearest to the place on it."""
    return int(hit.corners[np.square(shape.raw[hit.corners] - np.array(hit.place, np.float32)).sum(axis=1).argmin()])


def _nearest(shape: _Shape, place: Vector, exact: bool) -> int:
    """The vertex nearest to a place on a face, of all or of every `step`-th."""
    axes, step = (shape.raw.T, 1) if exact else (shape.axes, shape.step)
    squared = sum((axis - np.float32(c)) ** 2 for axis, c in zip(axes, place, strict=True))
    return int(np.nanargmin(squared)) * step
