"""Masks of the objects: vertex groups (weight >= 0.5), or BOOLEAN attributes on point clouds, and `instance`.

`instance` says for every vertex which object it belongs to, -1 for none. It is what was last applied; where a group
says something else, the artist has edited it by hand.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import bpy
import numpy as np

from .geometry import INSTANCE, Geometry, read_bool
from .steps import Steps, at_once

NONE = -1
THRESHOLD = 0.5
CHUNK = 20_000


@dataclass(frozen=True)
class Difference:
    """What changes in one object's mask: vertex indices to put in and to take out."""

    name: str
    add: np.ndarray
    remove: np.ndarray


def read_instance(geometry: Geometry) -> np.ndarray:
    """int32 (N,): the object number of every vertex, -1 for none; an `instance` of others does not count."""
    values = geometry.read_int(INSTANCE) if geometry.claimed else None
    return np.full(geometry.count, NONE, dtype=np.int32) if values is None else values


def group_indices(obj: bpy.types.Object) -> dict[str, int]:
    return {group.name: group.index for group in obj.vertex_groups}


def taken_names(obj: bpy.types.Object) -> set[str]:
    """Names that no new mask can have: those of all vertex groups, or of all attributes."""
    return {mask.name for mask in (obj.vertex_groups if obj.type == "MESH" else obj.data.attributes)}


def mask_names(geometry: Geometry) -> list[str]:
    """Names of everything that can be an object's mask: vertex groups, or BOOLEAN point attributes."""
    if geometry.is_mesh:
        return [group.name for group in geometry.obj.vertex_groups]
    return [a.name for a in geometry.data.attributes if a.domain == "POINT" and a.data_type == "BOOLEAN"]


def read_members(geometry: Geometry, names: Iterable[str]) -> Steps[dict[str, np.ndarray]]:
    """Read the masks of several objects in one pass: the sorted indices of the vertices (weight >= 0.5) by name.

    Vertex groups can only be read vertex by vertex, so a large scan takes a second in all; the caller spreads the
    steps over several calls.
    """
    names = list(names)
    if not geometry.is_mesh:
        masks = {name: read_bool(geometry.data, name) for name in names}
        return {n: np.flatnonzero(m) if m is not None else np.empty(0, np.int64) for n, m in masks.items()}
    indices = group_indices(geometry.obj)
    wanted = {indices[name]: name for name in names if name in indices}
    vertices: list[int] = []
    groups: list[int] = []
    for start in range(0, geometry.count if wanted else 0, CHUNK):
        read = _read_edited if geometry.editing else _read_plain
        read(geometry, start, min(start + CHUNK, geometry.count), vertices, groups)
        yield None
    vertex_array, group_array = np.array(vertices, np.int64), np.array(groups, np.int64)
    found = {name: np.empty(0, np.int64) for name in names}
    order = np.argsort(group_array, kind="stable")
    vertex_array, group_array = vertex_array[order], group_array[order]
    for group, name in wanted.items():
        start, end = np.searchsorted(group_array, [group, group + 1])
        found[name] = vertex_array[start:end]
    return found


def mask_attributes(geometry: Geometry) -> dict[str, np.ndarray]:
    """Point attributes that may have been masks before a conversion, BOOLEAN, or FLOAT of zeros and ones: the sorted
    indices of their vertices by name. Not for a mesh being edited."""
    found = {}
    for attribute in geometry.data.attributes:
        if attribute.domain == "POINT" and attribute.data_type in ("BOOLEAN", "FLOAT") and attribute.name[0] != ".":
            values = np.empty(geometry.count, dtype=np.float32 if attribute.data_type == "FLOAT" else bool)
            attribute.data.foreach_get("value", values)
            if ((values == 0) | (values == 1)).all():
                found[attribute.name] = np.flatnonzero(values)
    return found


def members_now(geometry: Geometry, names: Iterable[str]) -> dict[str, np.ndarray]:
    """The sorted indices of the vertices in each of these masks, read at once."""
    return at_once(read_members(geometry, names))


def topmost(count: int, members: Iterable[tuple[int, np.ndarray]]) -> np.ndarray:
    """`instance`, int32 (count,), of objects that may share vertices: number and vertices of each, top one first."""
    instance = np.full(count, NONE, dtype=np.int32)
    for number, inside in reversed(list(members)):
        instance[inside] = number
    return instance


def _read_plain(geometry: Geometry, start: int, end: int, vertices: list[int], groups: list[int]) -> None:
    for index, vertex in enumerate(geometry.data.vertices[start:end], start):
        for element in vertex.groups:
            if element.weight >= THRESHOLD:
                vertices.append(index)
                groups.append(element.group)


def _read_edited(geometry: Geometry, start: int, end: int, vertices: list[int], groups: list[int]) -> None:
    layer = geometry.bm.verts.layers.deform.active
    if layer is None:
        return
    for index, vertex in enumerate(geometry.bm.verts[start:end], start):
        for group, weight in vertex[layer].items():
            if weight >= THRESHOLD:
                vertices.append(index)
                groups.append(group)


def apply(geometry: Geometry, differences: Iterable[Difference], before: np.ndarray, after: np.ndarray) -> None:
    """Write masks as differences, and `instance` (`before` -> `after`, int32 (N,))."""
    geometry.claim()
    for difference in differences:
        if not geometry.is_mesh:
            _apply_points(geometry, difference)
        elif geometry.editing:
            _apply_edited(geometry, difference)
        else:
            group = _group(geometry.obj, difference.name)
            if difference.add.size:
                group.add(difference.add.tolist(), 1.0, "REPLACE")
            if difference.remove.size:
                group.remove(difference.remove.tolist())
    geometry.set_aside_foreign(INSTANCE)
    geometry.write_int(INSTANCE, after, np.flatnonzero(before != after), NONE)


def _group(obj: bpy.types.Object, name: str) -> bpy.types.VertexGroup:
    return obj.vertex_groups.get(name) or obj.vertex_groups.new(name=name)


def _apply_edited(geometry: Geometry, difference: Difference) -> None:
    index = _group(geometry.obj, difference.name).index
    layer = geometry.bm.verts.layers.deform.verify()
    vertices = geometry.bm.verts
    for i in difference.add.tolist():
        vertices[i][layer][index] = 1.0
    for i in difference.remove.tolist():
        weights = vertices[i][layer]
        if index in weights:
            del weights[index]


def _apply_points(geometry: Geometry, difference: Difference) -> None:
    attribute = geometry.data.attributes.get(difference.name)
    if attribute is None:
        attribute = geometry.data.attributes.new(difference.name, "BOOLEAN", "POINT")
    values = np.zeros(geometry.count, dtype=bool)
    attribute.data.foreach_get("value", values)
    values[difference.add] = True
    values[difference.remove] = False
    attribute.data.foreach_set("value", values)


def rename(geometry: Geometry, old: str, new: str) -> None:
    """Rename an object's mask. Blender may append a number; the caller chooses names that are free."""
    holder = geometry.obj.vertex_groups if geometry.is_mesh else geometry.data.attributes
    mask = holder.get(old)
    if mask is not None:
        mask.name = new


def remove_mask(geometry: Geometry, name: str) -> None:
    holder = geometry.obj.vertex_groups if geometry.is_mesh else geometry.data.attributes
    mask = holder.get(name)
    if mask is not None:
        holder.remove(mask)


def match_names(obj: bpy.types.Object, names: tuple[str, ...], ours: set[str]) -> None:
    """Bring the names of the vertex groups back to `names` after an undo in Edit Mode of Blender 4.2.

    Weights refer to groups by position, and that Blender restores the weights and not the names: a group made by an
    undone click would stay behind empty, and a redone one lack its name. Groups not among `ours` are never removed.
    """
    for group in reversed(list(obj.vertex_groups)):
        if group.name not in names and group.name in ours:
            obj.vertex_groups.remove(group)
    present = [group.name for group in obj.vertex_groups]
    if present == list(names) or not set(present) <= set(names):
        return
    for name in names[len(present) :]:
        obj.vertex_groups.new(name=name)
    for position, group in enumerate(obj.vertex_groups):
        group.name = f"\x01{position}"
    for group, name in zip(obj.vertex_groups, names, strict=True):
        group.name = name
