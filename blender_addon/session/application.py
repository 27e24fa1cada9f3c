"""Putting an answer into the scan: mask, pins, locks, `instance`, journal and one undo step, in short pieces."""

from collections.abc import Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from ..scan import masks, vertex_set
from ..scan.geometry import Geometry, coordinates, hidden_vertices
from ..scan.scan import Scan, unchanged
from . import edits, journal, watch
from .state import ScanState

DECIDED = 128  # probability (0..255) from which a vertex belongs to the object


class ApplicationError(Exception):
    """The answer cannot be used; the text is one sentence for the artist."""


@dataclass(frozen=True)
class Result:
    """What applying an answer did: vertices in the mask, and how many came and went."""

    vertices: int
    added: int
    removed: int
    protected: int


def find_object(uid: int) -> bpy.types.Object | None:
    """The object with this session id, whatever it is called now."""
    return next((o for o in bpy.data.objects if o.session_uid == uid), None)


def geometry_of(object_uid: int, data_uid: int) -> Geometry:
    """The scan a request was about. Raises ApplicationError where it is gone."""
    obj = find_object(object_uid)
    if obj is None or obj.data is None or obj.data.session_uid != data_uid:
        raise ApplicationError("The scan was deleted while its mask was on the way; nothing was changed.")
    return Geometry(obj)


def noticed_edits(geometry: Geometry, state: ScanState) -> Iterator[list[journal.Change] | None]:
    """Compare the masks with what was last applied; yields None until the last item, the entries to write.

    A vertex that the artist assigned to or removed from a group by hand becomes an edit that later predictions obey.
    """
    members: dict[str, np.ndarray] = {}
    for found in masks.read_members(geometry, [o.name for o in state.objects]):
        if found is None:
            yield None
        else:
            members = found
    instance = masks.read_instance(geometry)
    overlapped = _counts(members.values(), geometry.count) > 1 if state.overlap else None
    changes: list[journal.Change] = []
    for known in state.objects:
        inside = np.zeros(geometry.count, dtype=bool)
        inside[members[known.name]] = True
        applied = instance == known.number
        added, removed = inside & ~applied, applied & ~inside
        if overlapped is not None:
            added &= ~overlapped  # there, `instance` tells only the topmost object
        if added.any() or removed.any():
            data = {
                "add": vertex_set.pack(np.flatnonzero(added)),
                "remove": vertex_set.pack(np.flatnonzero(removed)),
                "n": geometry.count,
            }
            changes.append(("edit", known.number, data))
    yield changes


def _counts(members: Iterator[np.ndarray], count: int) -> np.ndarray:
    total = np.zeros(count, dtype=np.int16)
    for indices in members:
        total[indices] += 1
    return total


def instance_with_edits(instance: np.ndarray, changes: list[journal.Change]) -> np.ndarray:
    """`instance` as the noticed edits have it."""
    updated = instance.copy()
    for _, number, data in changes:
        removed = vertex_set.unpack(data["remove"])
        updated[removed[updated[removed] == number]] = masks.NONE
    for _, number, data in changes:
        updated[vertex_set.unpack(data["add"])] = number
    return updated


def check_unedited(geometry: Geometry, scan: Scan, scene: bpy.types.Scene) -> None:
    """Raises ApplicationError where the mesh is not the one that was sent."""
    same = geometry.count == scan.count
    if same:
        with geometry.snapshot() as data:
            same = unchanged(scan, geometry, coordinates(data), scene)
    if not same:
        raise ApplicationError(
            "The scan was edited while its mask was on the way, so the mask does not fit any more: click again."
        )


def apply_mask(
    geometry: Geometry,
    number: int,
    predicted: np.ndarray | None,
    edited: list[journal.Change],
    changes: list[journal.Change],
    label: str,
) -> Result:
    """Write one press with its mask, and push one undo step.

    Args:
        predicted: bool (N,) from the server, or None to leave the mask as it is but for the artist's own vertices.
        edited: hand edits noticed before, written first.
        changes: the press itself.
    """
    state = journal.preview(journal.state(geometry), [*edited, *changes])
    known = state.get(number)
    if known is None:
        raise ApplicationError("The object was deleted while its mask was on the way; nothing was changed.")
    on_record = masks.read_instance(geometry)
    before = instance_with_edits(on_record, edited)
    inside = _members(geometry, known.name, before == number, state)
    wanted = inside.copy() if predicted is None else predicted.copy()
    pins = edits.pins_of(known, geometry.count)
    wanted[pins > 0] = True
    wanted[pins < 0] = False
    protected = _protected(geometry, before, state, number)
    held_back = int((wanted & protected & ~inside).sum())
    wanted = np.where(protected, inside, wanted)
    added, removed = np.flatnonzero(wanted & ~inside), np.flatnonzero(inside & ~wanted)
    after = _instance_after(before, added, removed, number, state)
    differences = [masks.Difference(known.name, added, removed)]
    if not state.overlap:
        differences += _losses(before, added, state)
    with watch.own_writes():
        masks.apply(geometry, differences, on_record, after)
        journal.write(geometry, [*edited, *changes])
        geometry.changed()
        edits.refresh_list(geometry, after)
        if any(kind == "create" for kind, _, _ in changes):
            edits.activate(geometry, number)
        bpy.ops.ed.undo_push(message=label)
    return Result(int(wanted.sum()), len(added), len(removed), held_back)


def _members(geometry: Geometry, name: str, owned: np.ndarray, state: ScanState) -> np.ndarray:
    """bool (N,): the object's mask now. Where objects overlap, `instance` does not tell all of it."""
    if not state.overlap:
        return owned
    found = None
    for found in masks.read_members(geometry, [name]):
        pass
    inside = np.zeros(geometry.count, dtype=bool)
    inside[found[name]] = True
    return inside


def _protected(geometry: Geometry, before: np.ndarray, state: ScanState, number: int) -> np.ndarray:
    """bool (N,): vertices that this object may neither take nor lose: those of locked objects, and hidden ones."""
    locked = [o.number for o in state.objects if o.locked and o.number != number]
    protected = np.isin(before, locked) if locked else np.zeros(geometry.count, dtype=bool)
    if geometry.editing:
        with geometry.snapshot() as data:
            protected |= hidden_vertices(data)
    return protected


def _instance_after(
    before: np.ndarray, added: np.ndarray, removed: np.ndarray, number: int, state: ScanState
) -> np.ndarray:
    after = before.copy()
    after[removed[before[removed] == number]] = masks.NONE
    if state.overlap:
        rank = {o.number: place for place, o in enumerate(state.objects)}
        below = [n for n, place in rank.items() if place > rank[number]]
        added = added[np.isin(before[added], [masks.NONE, *below])]
    after[added] = number
    return after


def _losses(before: np.ndarray, added: np.ndarray, state: ScanState) -> list[masks.Difference]:
    """What other objects lose to this one, since a vertex belongs to one object."""
    nothing = np.empty(0, dtype=np.int64)
    owners = before[added]
    losers = [state.get(int(n)) for n in np.unique(owners[owners >= 0])]
    return [masks.Difference(o.name, nothing, added[owners == o.number]) for o in losers if o is not None]
