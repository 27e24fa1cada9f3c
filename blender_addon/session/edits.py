"""Changes of the objects that need no network: create, rename, lock, delete, merge.

Each function writes to the journal and the masks and leaves the undo step to its caller, since an operator's own step
and a click's step are pushed differently.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import bpy
import numpy as np

from ..scan import masks, vertex_set
from ..scan.geometry import Geometry
from ..wire.requests import SMALLEST_VOXEL
from . import journal, object_list, watch
from .pending import upcoming
from .state import ObjectState, Press, fitting_name, free_name

PALETTE = (
    (0.90, 0.35, 0.10),
    (0.15, 0.55, 0.95),
    (0.25, 0.75, 0.30),
    (0.95, 0.75, 0.10),
    (0.65, 0.35, 0.90),
    (0.10, 0.75, 0.75),
    (0.95, 0.40, 0.65),
    (0.60, 0.60, 0.20),
    (0.45, 0.30, 0.20),
    (0.50, 0.80, 0.95),
)

_NOTHING = np.empty(0, dtype=np.int64)


def palette_color(number: int) -> tuple[float, float, float]:
    """Colours that neighbours in number can be told apart by; they repeat, a little darker each time."""
    base = PALETTE[(number - 1) % len(PALETTE)]
    shade = 0.8 ** (((number - 1) // len(PALETTE)) % 4)
    return tuple(c * shade for c in base)


def creation(geometry: Geometry, name: str = "") -> journal.Change:
    """The journal entry of a new object with a name that is free among objects, groups, attributes. Objects whose
    first masks are on their way keep their numbers and names."""
    state = upcoming(geometry)
    number = state.last_number + 1
    taken = {o.name for o in state.objects} | masks.taken_names(geometry.obj)
    taken |= {a.name for a in geometry.data.attributes}
    color = [round(c, 4) for c in palette_color(number)]
    return "create", number, {"name": free_name(fitting_name(name) or f"Object {number}", taken), "color": color}


def object_of(data: bpy.types.ID) -> bpy.types.Object | None:
    """An object that shows `data`, the active one before all others."""
    active = bpy.context.view_layer.objects.active if bpy.context.view_layer else None
    if active is not None and active.data == data:
        return active
    return next((o for o in bpy.data.objects if o.data == data), None)


def list_item_changed(item: bpy.types.PropertyGroup, field: str) -> None:
    """The artist edited a row of the list: append it to the journal. Blender pushes the undo step of its own edit."""
    # `watch.own` has Blender bring everything up to date: too slow for every field of a long list
    if not object_list.is_syncing():
        _write_row(item, field)


@watch.own
def _write_row(item: bpy.types.PropertyGroup, field: str) -> None:
    obj = object_of(item.id_data)
    if obj is None:
        return
    geometry = Geometry(obj)
    known = journal.state(geometry).get(item.number)
    if known is None:
        return
    value = getattr(item, field)
    if field == "color":
        value = [round(c, 4) for c in value]
    elif field == "threshold":
        value = round(value, 4)
    if field == "name":
        rename(geometry, known, value)
        object_list.refresh(geometry)
    else:
        change(geometry, {item.number: {field: value}})


@watch.own
def change(geometry: Geometry, fields: Mapping[int, dict[str, Any]]) -> None:
    """Set fields (visible, locked, color) of objects, by number, in the journal and the list."""
    journal.write(geometry, [("set", number, values) for number, values in fields.items()])
    geometry.changed()
    object_list.refresh(geometry)


@watch.own
def rename(geometry: Geometry, known: ObjectState, wanted: str) -> str:
    """Rename an object and its mask; returns the name it got (a free one)."""
    taken = {o.name for o in journal.state(geometry).objects if o.number != known.number}
    taken |= {name for name in masks.taken_names(geometry.obj) if name != known.name}
    name = free_name(fitting_name(wanted) or known.name, taken)
    if name != known.name:
        masks.rename(geometry, known.name, name)
        journal.write(geometry, [("set", known.number, {"name": name})])
        geometry.changed()
    return name


@watch.own
def scan_setting_changed(scan: bpy.types.PropertyGroup, field: str) -> None:
    """The artist moved the voxel slider or one of the switches."""
    obj = None if object_list.is_syncing() else object_of(scan.id_data)
    if obj is None:
        return
    geometry = Geometry(obj)
    if geometry.count:
        value = getattr(scan, field)
        parted = field == "overlap" and not value
        too_small = field == "voxel_size" and 0 < value < SMALLEST_VOXEL
        if field == "voxel_size":
            value = SMALLEST_VOXEL if too_small else round(value, 6)
        if parted:
            _part(geometry)
        journal.write(geometry, [("scan", -1, {field: value})])
        geometry.changed()
        if parted or too_small:
            object_list.refresh(geometry)


def _part(geometry: Geometry) -> None:
    """Where objects share vertices, let a locked one keep them, or the upper one of the list."""
    objects = sorted(journal.state(geometry).objects, key=lambda known: not known.locked)
    members = masks.members_now(geometry, [known.name for known in objects])
    before = masks.read_instance(geometry)
    after = shown(geometry, objects, members)
    lost = [
        masks.Difference(known.name, _NOTHING, inside[after[inside] != known.number])
        for known in objects
        if len(inside := members[known.name])
    ]
    masks.apply(geometry, lost, before, after)


@watch.own
def create(geometry: Geometry, name: str = "") -> int:
    """A new, empty object, made active. Returns its number."""
    change = creation(geometry, name)
    journal.write(geometry, [change])
    geometry.changed()
    object_list.refresh(geometry)
    object_list.activate(geometry, change[1])
    return change[1]


@watch.own
def delete(geometry: Geometry, number: int) -> None:
    """Remove an object with its mask; its vertices belong to nobody afterwards."""
    state = journal.state(geometry)
    known = state.get(number)
    before = masks.read_instance(geometry)
    if state.overlap:
        left = [o for o in state.objects if o.number != number]
        after = shown(geometry, left, masks.members_now(geometry, [o.name for o in left]))
    else:
        after = np.where(before == number, masks.NONE, before)
    masks.remove_mask(geometry, known.name)
    masks.apply(geometry, [], before, after)
    journal.write(geometry, [("delete", number, {})])
    geometry.changed()
    object_list.refresh(geometry, after)


@watch.own
def merge(geometry: Geometry, into: int, numbers: list[int]) -> None:
    """Give the vertices and clicks of the objects `numbers` to `into`."""
    state = journal.state(geometry)
    target = state.get(into)
    parts = [state.get(n) for n in numbers if n != into]
    before = masks.read_instance(geometry)
    numbers = [p.number for p in parts]
    whole = np.isin(before, [into, *numbers])
    if state.overlap:
        members = masks.members_now(geometry, [o.name for o in state.objects])
        whole[np.concatenate([members[p.name] for p in (target, *parts)])] = True
        added = np.setdiff1d(np.flatnonzero(whole), members[target.name], assume_unique=True)
    else:
        added = np.flatnonzero(whole & (before != into))
    # a click that said "not this one" about a vertex of the whole contradicts the merge
    drop = [
        action.entry
        for known in (target, *parts)
        for action in known.actions
        if isinstance(action, Press) and not action.positive and _touches(action, whole)
    ]
    for part in parts:
        masks.remove_mask(geometry, part.name)
    if state.overlap:
        members[target.name] = np.flatnonzero(whole)
        after = shown(geometry, [o for o in state.objects if o.number not in numbers], members)
    else:
        after = np.where(whole, np.int32(into), before)
    masks.apply(geometry, [masks.Difference(target.name, added, _NOTHING)], before, after)
    journal.write(geometry, [("merge", into, {"from": numbers, "drop": drop})])
    geometry.changed()
    object_list.refresh(geometry, after)


def _touches(press: Press, mask: np.ndarray) -> bool:
    return press.vertices == len(mask) and bool(mask[vertex_set.unpack(press.pins)].any())


def shown(geometry: Geometry, objects: Sequence[ObjectState], members: Mapping[str, np.ndarray]) -> np.ndarray:
    """`instance` of objects that may share vertices, in this order; members: the vertices of each by name."""
    return masks.topmost(geometry.count, [(o.number, members[o.name]) for o in objects])


@watch.own
def duplicate(geometry: Geometry, number: int) -> int:
    """A copy of an object with its clicks. Its mask overlaps the original's, so overlap is switched on."""
    state = journal.state(geometry)
    known = state.get(number)
    change = creation(geometry, known.name)
    at = next(i for i, o in enumerate(state.objects) if o.number == number) + 1
    before = masks.read_instance(geometry)
    members = np.flatnonzero(before == number)
    if state.overlap:
        members = masks.members_now(geometry, [known.name])[known.name]
    masks.apply(geometry, [masks.Difference(change[2]["name"], members, _NOTHING)], before, before)
    data = {**change[2], "of": number, "at": at}
    journal.write(geometry, [("scan", -1, {"overlap": True}), ("copy", change[1], data)])
    geometry.changed()
    object_list.refresh(geometry, before)
    object_list.activate(geometry, change[1])
    return change[1]


@watch.own
def move(geometry: Geometry, number: int, step: int) -> None:
    """Move an object up (-1) or down (+1) in the list; the top wins where objects overlap."""
    state = journal.state(geometry)
    objects = list(state.objects)
    position = objects.index(state.get(number))
    other = position + step
    if 0 <= other < len(objects):
        objects[position], objects[other] = objects[other], objects[position]
        if state.overlap:
            members = masks.members_now(geometry, [o.name for o in objects])
            masks.apply(geometry, [], masks.read_instance(geometry), shown(geometry, objects, members))
        journal.write(geometry, [("order", -1, {"order": [o.number for o in objects]})])
        geometry.changed()
        object_list.refresh(geometry)
