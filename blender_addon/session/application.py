"""Putting an answer into the scan: mask, pins, locks, `instance`, journal and one undo step, in short pieces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import bpy
import numpy as np

from ..scan import masks, vertex_set
from ..scan.geometry import Geometry, coordinates, hidden_vertices
from ..scan.scan import Scan, unchanged
from ..scan.steps import Steps
from . import edits, journal, object_list, watch
from .pins import pins_of
from .state import ObjectState, ScanState
from .undo import Step, push

SAME_MASK = 0.5  # share of common vertices from which a group that nobody knows is one that was renamed by hand


class ApplicationError(Exception):
    """The answer cannot be used; the text is one sentence for the artist."""


@dataclass(frozen=True)
class Result:
    """What applying an answer did: vertices in the mask, how many came and went, how many stayed with other objects."""

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


@dataclass
class Noticed:
    """What the artist did to the masks by hand since they were last applied.

    changes: entries to write. cleared: objects whose groups were deleted, by number; their clicks are kept, and bring
    the mask back when the next one is applied.
    """

    changes: list[journal.Change] = field(default_factory=list)
    cleared: list[int] = field(default_factory=list)


def noticed_edits(geometry: Geometry, state: ScanState) -> Steps[Noticed]:
    """Compare the masks with what was last applied.

    A vertex that the artist assigned to or removed from a group by hand becomes an edit that later predictions obey.
    An object whose group was renamed takes the group's new name.
    """
    ours = [o.name for o in state.objects]
    present = masks.mask_names(geometry)
    instance = masks.read_instance(geometry)
    used = set(np.unique(instance).tolist())
    missing = [o for o in state.objects if o.name not in present and o.number in used]
    strangers = [name for name in present if name not in ours] if missing else []
    members = yield from masks.read_members(geometry, [*ours, *strangers])
    noticed = Noticed()
    for known in missing:
        found = renamed(np.flatnonzero(instance == known.number), strangers, members)
        if found is None:
            noticed.cleared.append(known.number)
        else:
            strangers.remove(found)
            members[known.name] = members[found]
            noticed.changes.append(("set", known.number, {"name": found}))
            journal.renamed_by_hand(geometry)
    overlapped = _counts((members[name] for name in ours), geometry.count) > 1 if state.overlap else None
    for known in state.objects:
        if known.number in noticed.cleared:
            continue
        inside = np.zeros(geometry.count, dtype=bool)
        inside[members[known.name]] = True
        applied = instance == known.number
        added, removed = inside & ~applied, applied & ~inside
        if overlapped is not None:
            added &= ~overlapped  # there, `instance` tells only the topmost object
        if added.any() or removed.any():
            noticed.changes.append(_edit(known.number, added, removed))
        yield
    return noticed


def _edit(number: int, added: np.ndarray, removed: np.ndarray) -> journal.Change:
    """The entry for vertices that the artist put in and took out: bool (N,)."""
    add, remove = vertex_set.pack(np.flatnonzero(added)), vertex_set.pack(np.flatnonzero(removed))
    return "edit", number, {"add": add, "remove": remove, "n": len(added)}


def renamed(applied: np.ndarray, strangers: list[str], members: dict[str, np.ndarray]) -> str | None:
    """The one of the groups `strangers` that is the mask with the vertices `applied`."""
    best, share = None, SAME_MASK
    for name in strangers:
        common = np.intersect1d(applied, members[name], assume_unique=True).size
        union = len(applied) + len(members[name]) - common
        if common >= share * union:
            best, share = name, common / union
    return best


def _counts(members: Iterator[np.ndarray], count: int) -> np.ndarray:
    total = np.zeros(count, dtype=np.int16)
    for indices in members:
        total[indices] += 1
    return total


def instance_with_edits(instance: np.ndarray, noticed: Noticed) -> np.ndarray:
    """`instance` as the noticed edits have it."""
    updated = instance.copy()
    updated[np.isin(updated, noticed.cleared)] = masks.NONE
    edited = [(number, data) for kind, number, data in noticed.changes if kind == "edit"]
    for number, data in edited:
        removed = vertex_set.unpack(data["remove"])
        updated[removed[updated[removed] == number]] = masks.NONE
    for number, data in edited:
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


def decided(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """bool (N,): the vertices that belong to the object. Probabilities are uint8, 0 to 255 for 0 to 1."""
    return probabilities >= max(1, int(np.ceil(threshold * 255)))


def apply_mask(
    geometry: Geometry,
    number: int,
    predicted: np.ndarray | None,
    noticed: Noticed,
    changes: list[journal.Change],
    step: Step,
    choose: bool = True,
) -> Result:
    """Write one press with its mask, and push one undo step.

    Args:
        predicted: bool (N,) from the server, or None to leave the mask as it is but for the artist's own vertices.
        noticed: hand edits noticed before, written first.
        changes: the press itself.
        choose: whether a new object is chosen in the list where no other is.
    """
    result = write_mask(geometry, number, predicted, noticed, changes, choose)
    push(step)
    return result


def write_mask(
    geometry: Geometry,
    number: int,
    predicted: np.ndarray | None,
    noticed: Noticed,
    changes: list[journal.Change],
    choose: bool = True,
) -> Result:
    """`apply_mask` without the undo step."""
    plan = _plan(geometry, number, noticed, changes, lambda inside, known: _obeyed(inside, known, predicted))
    none_chosen = geometry.data.scanpick.active_item() is None
    _write(geometry, plan, [*noticed.changes, *changes], choose and none_chosen)
    if none_chosen and not choose:
        object_list.choose_none(geometry)  # a list that was empty has chosen its first row
    return plan.result


def write_by_hand(
    geometry: Geometry, number: int, wanted: np.ndarray, noticed: Noticed, changes: list[journal.Change]
) -> Result:
    """Make the mask what the artist wants, bool (N,): a hand edit that stays through later predictions.

    The caller pushes the undo step.

    Args:
        changes: what comes before, as the object's creation.
    """
    plan = _plan(geometry, number, noticed, changes, lambda inside, known: wanted.copy())
    if plan.result.added or plan.result.removed:
        edit = _edit(number, plan.wanted & ~plan.inside, plan.inside & ~plan.wanted)
        _write(geometry, plan, [*noticed.changes, *changes, edit])
    return plan.result


def write_start(
    geometry: Geometry,
    number: int,
    members: np.ndarray,
    noticed: Noticed,
    changes: list[journal.Change],
    in_place: bool,
) -> Result:
    """Begin an object with a mask made elsewhere, bool (N,). The caller pushes the undo step.

    Nothing is changed where locked objects have all of it.

    Args:
        changes: the object's creation.
        in_place: the mask is there already under the object's name; its weights stay as they are.
    """
    plan = _plan(geometry, number, noticed, changes, lambda inside, known: members.copy())
    if not plan.result.vertices:
        return plan.result
    if in_place:
        held_back = np.flatnonzero(members & ~plan.wanted)
        plan.differences[0] = masks.Difference(plan.differences[0].name, np.empty(0, dtype=np.int64), held_back)
    start = {"members": vertex_set.pack(np.flatnonzero(plan.wanted)), "n": geometry.count}
    _write(geometry, plan, [*noticed.changes, *changes, ("start", number, start)])
    return plan.result


def mask_of(geometry: Geometry, number: int, noticed: Noticed) -> np.ndarray:
    """bool (N,): the object's mask now."""
    state = journal.preview(journal.state(geometry), noticed.changes)
    before = instance_with_edits(masks.read_instance(geometry), noticed)
    known, members = state.get(number), _all_members(geometry, state)
    if known is None:
        return np.zeros(geometry.count, dtype=bool)
    return before == number if members is None else _as_mask(members[known.name], geometry.count)


@watch.own
def write_noticed(geometry: Geometry, noticed: Noticed) -> None:
    """Write down what the artist did by hand. The caller pushes the undo step."""
    if not noticed.changes and not noticed.cleared:
        return
    on_record = masks.read_instance(geometry)
    state = journal.preview(journal.state(geometry), noticed.changes)
    members = _all_members(geometry, state)
    if members is None:
        after = instance_with_edits(on_record, noticed)
    else:
        after = edits.shown(geometry, state.objects, members)
    masks.apply(geometry, _taken(on_record, noticed, state), on_record, after)
    journal.write(geometry, noticed.changes)
    geometry.changed()
    object_list.refresh(geometry, after)


def _obeyed(inside: np.ndarray, known: ObjectState, predicted: np.ndarray | None) -> np.ndarray:
    """What the server said, with the artist's own vertices as the artist had them."""
    wanted = inside.copy() if predicted is None else predicted.copy()
    pins = pins_of(known, len(wanted))
    wanted[pins > 0] = True
    wanted[pins < 0] = False
    return wanted


@dataclass(frozen=True)
class _Plan:
    """What is to be written. inside, wanted: bool (N,) the mask before and after; on_record, after: int32
    (N,) `instance` as it is and as it shall be."""

    number: int
    inside: np.ndarray
    wanted: np.ndarray
    on_record: np.ndarray
    after: np.ndarray
    differences: list[masks.Difference]
    result: Result


def _plan(
    geometry: Geometry,
    number: int,
    noticed: Noticed,
    changes: list[journal.Change],
    decide: Callable[[np.ndarray, ObjectState], np.ndarray],
) -> _Plan:
    """Raises ApplicationError where the object is gone."""
    state = journal.preview(journal.state(geometry), [*noticed.changes, *changes])
    known = state.get(number)
    if known is None:
        raise ApplicationError("The object was deleted while its mask was on the way; nothing was changed.")
    on_record = masks.read_instance(geometry)
    before = instance_with_edits(on_record, noticed)
    members = _all_members(geometry, state)
    inside = before == number if members is None else _as_mask(members[known.name], geometry.count)
    wanted = decide(inside, known)
    protected = _protected(geometry, before, state, number)
    held_back = 0
    if protected is not None:
        held_back = int((wanted & protected & ~inside).sum())
        wanted = np.where(protected, inside, wanted)
    added, removed = np.flatnonzero(wanted & ~inside), np.flatnonzero(inside & ~wanted)
    if members is None:
        after = _instance_after(before, added, removed, number)
    else:
        members[known.name] = np.flatnonzero(wanted)
        after = edits.shown(geometry, state.objects, members)
    differences = [masks.Difference(known.name, added, removed)]
    if not state.overlap:
        differences += _losses(before, added, state) + _taken(on_record, noticed, state)
    result = Result(int(wanted.sum()), len(added), len(removed), held_back)
    return _Plan(number, inside, wanted, on_record, after, differences, result)


def _write(geometry: Geometry, plan: _Plan, changes: list[journal.Change], choose: bool = True) -> None:
    with watch.own_writes():
        masks.apply(geometry, plan.differences, plan.on_record, plan.after)
        journal.write(geometry, changes)
        geometry.changed()
        object_list.refresh(geometry, plan.after)
        if choose and any(kind == "create" for kind, _, _ in changes):
            object_list.activate(geometry, plan.number)


def _all_members(geometry: Geometry, state: ScanState) -> dict[str, np.ndarray] | None:
    """The vertices of every object, by name, where objects may overlap: `instance` does not tell all of them. None
    where it does."""
    return masks.members_now(geometry, [o.name for o in state.objects]) if state.overlap else None


def _as_mask(vertices: np.ndarray, count: int) -> np.ndarray:
    inside = np.zeros(count, dtype=bool)
    inside[vertices] = True
    return inside


def _protected(geometry: Geometry, before: np.ndarray, state: ScanState, number: int) -> np.ndarray | None:
    """bool (N,): vertices that this object may neither take nor lose: those of locked objects, and hidden ones.
    None where there are none."""
    locked = np.zeros(state.last_number + 2, dtype=bool)  # by number; the last is for what belongs to nobody
    locked[[o.number for o in state.objects if o.locked and o.number != number]] = True
    protected = locked[np.clip(before, -1, state.last_number + 1)] if locked.any() else None
    if geometry.editing:
        with geometry.snapshot() as data:
            hidden = hidden_vertices(data)
        protected = hidden if protected is None else protected | hidden
    return protected


def _instance_after(before: np.ndarray, added: np.ndarray, removed: np.ndarray, number: int) -> np.ndarray:
    after = before.copy()
    after[removed[before[removed] == number]] = masks.NONE
    after[added] = number
    return after


def _taken(on_record: np.ndarray, noticed: Noticed, state: ScanState) -> list[masks.Difference]:
    """What objects lose to hand edits of others, as a vertex belongs to one object; nothing where they may overlap."""
    if state.overlap:
        return []
    lost = []
    for kind, number, data in noticed.changes:
        if kind == "edit":
            added = vertex_set.unpack(data["add"])
            lost += _losses(on_record, added[on_record[added] != number], state)
    return lost


def _losses(before: np.ndarray, added: np.ndarray, state: ScanState) -> list[masks.Difference]:
    """What other objects lose to this one, since a vertex belongs to one object."""
    nothing = np.empty(0, dtype=np.int64)
    owners = before[added]
    losers = [state.get(int(n)) for n in np.unique(owners[owners >= 0])]
    return [masks.Difference(o.name, nothing, added[owners == o.number]) for o in losers if o is not None]
