"""The click journal in the .blend file, and the copy of it in memory that outlives undo.

Entries are only ever appended. Which one is current is told by a layer of the mesh, since that is what Blender's undo
restores in both modes; a property is not restored by undo in Edit Mode, and is taken back with everything else by undo
in Object Mode. So entries that a property lost are found in the mirror, and written back.

Ids grow by one, but for a large random step before the first entry of each session: vertices that are joined to a scan
bring their revisions, which must not be taken for entries of this one.
"""

import json
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import bpy

from ..scan.geometry import Geometry
from .state import EMPTY, Entry, ScanState, chain, fold

Change = tuple[str, int, dict[str, Any]]
"""A journal entry to be: kind, object number, data."""

STATES_KEPT = 64
LARGEST_ID = 2**31 - 1
STEPS = 1024
"""A random step takes at most this part of the ids that are left, so that they never run out."""


@dataclass
class _Mirror:
    entries: dict[int, Entry] = field(default_factory=dict)
    states: "OrderedDict[int, ScanState]" = field(default_factory=OrderedDict)
    group_names: dict[int, tuple[str, ...]] = field(default_factory=dict)
    written: bool = False


_mirrors: dict[int, _Mirror] = {}


def forget_all() -> None:
    """Another file was opened: session ids mean other things now."""
    _mirrors.clear()


def _mirror(data: bpy.types.ID) -> _Mirror:
    mirror = _mirrors.setdefault(data.session_uid, _Mirror())
    journal = data.scanpick.journal
    if len(journal) and journal[-1].entry not in mirror.entries:
        for line in journal:
            if line.entry not in mirror.entries:
                mirror.entries[line.entry] = Entry(
                    line.entry, line.parent_entry, line.kind, line.number, json.loads(line.data)
                )
    return mirror


def has_journal(data: bpy.types.ID) -> bool:
    return bool(len(data.scanpick.journal)) or data.session_uid in _mirrors


def revision(geometry: Geometry) -> int:
    """The current entry's id; 0 where nothing was said yet."""
    mirror = _mirror(geometry.data)
    known = [int(r) for r in geometry.revisions() if int(r) in mirror.entries]
    newest = max(known, default=0)
    entry = mirror.entries.get(newest)
    if entry is None or entry.data.get("n", geometry.count) != geometry.count:
        # vertices came or went: the newest entry may have left its mark on others than the sampled ones
        everywhere = [int(r) for r in geometry.revisions(everywhere=True) if int(r) in mirror.entries]
        newest = max(everywhere, default=newest)
    return newest


def state(geometry: Geometry) -> ScanState:
    """What holds now."""
    return state_at(geometry.data, revision(geometry))


def state_at(data: bpy.types.ID, at: int) -> ScanState:
    mirror = _mirror(data)
    if at == 0:
        return EMPTY
    known = mirror.states.get(at)
    if known is None:
        pending: list[Entry] = []
        cursor = at
        while cursor and cursor not in mirror.states and cursor in mirror.entries:
            pending.append(mirror.entries[cursor])
            cursor = mirror.entries[cursor].parent
        known = fold(reversed(pending), mirror.states.get(cursor, EMPTY))
        mirror.states[at] = known
        while len(mirror.states) > STATES_KEPT:
            mirror.states.popitem(last=False)
    else:
        mirror.states.move_to_end(at)
    return known


def preview(state_now: ScanState, changes: Iterable[Change]) -> ScanState:
    """The state as it would be after `changes`, which are not written."""
    return fold((Entry(0, 0, kind, number, data) for kind, number, data in changes), state_now)


def write(geometry: Geometry, changes: Iterable[Change]) -> int:
    """Append `changes` and make the last of them current. The caller pushes the undo step."""
    mirror = _mirror(geometry.data)
    changes = list(changes)
    parent = revision(geometry)
    if changes and _says_the_same(changes[0], mirror.entries.get(parent)):
        parent = mirror.entries[parent].parent
    next_id = max(mirror.entries, default=0) + 1
    if changes and not mirror.written:
        next_id += secrets.randbelow(max(1, (LARGEST_ID - next_id) // STEPS))
        mirror.written = True
    for kind, number, data in changes:
        entry = Entry(next_id, parent, kind, number, data)
        mirror.entries[next_id] = entry
        _append(geometry.data, entry)
        parent = next_id
        next_id += 1
    geometry.write_revision(parent)
    _keep_group_names(geometry, parent)
    return parent


def renamed_by_hand(geometry: Geometry) -> None:
    """Groups were renamed since the current entry was written: undo back to it shall find the new names."""
    _keep_group_names(geometry, revision(geometry))


def _keep_group_names(geometry: Geometry, at: int) -> None:
    if geometry.is_mesh:
        _mirror(geometry.data).group_names[at] = tuple(g.name for g in geometry.obj.vertex_groups)


def _says_the_same(change: Change, entry: Entry | None) -> bool:
    """Whether `change` sets nothing but what `entry` had set: a slider being dragged. It then takes the entry's place
    in the chain; the entry stays for undo, and goes when the file is saved."""
    kind, number, data = change
    same = entry is not None and kind == entry.kind == "set" and number == entry.object
    return same and data.keys() == entry.data.keys()


def group_names_at(data: bpy.types.ID, at: int) -> tuple[str, ...] | None:
    """Names of the vertex groups when the entry was written, if that was in this session."""
    return _mirror(data).group_names.get(at)


def revisions_ever(data: bpy.types.ID) -> list[int]:
    """The ids of all entries of this scan."""
    return list(_mirror(data).entries)


def last_count(geometry: Geometry) -> int:
    """How many vertices the scan had when a mask was last written; 0 where that was never."""
    entries = chain(revision(geometry), _mirror(geometry.data).entries.get)
    return next((entry.data["n"] for entry in reversed(entries) if "n" in entry.data), 0)


def names_ever(data: bpy.types.ID) -> set[str]:
    """All names that objects of this scan have had."""
    return {e.data["name"] for e in _mirror(data).entries.values() if "name" in e.data}


def restore(geometry: Geometry) -> None:
    """Write back what undo took from the property although the mesh still stands on it."""
    mirror = _mirror(geometry.data)
    present = {line.entry for line in geometry.data.scanpick.journal}
    for entry in chain(revision(geometry), mirror.entries.get):
        if entry.id not in present:
            _append(geometry.data, entry)


def prune(geometry: Geometry) -> None:
    """Before saving: keep only what the current entry stands on, and what vertices show as theirs. What was undone
    stays in the mirror, for redo."""
    mirror = _mirror(geometry.data)
    wanted = {entry.id: entry for entry in chain(revision(geometry), mirror.entries.get)}
    shown = [int(r) for r in geometry.revisions(everywhere=True)]
    wanted = sorted((wanted | {r: mirror.entries[r] for r in shown if r in mirror.entries}).values(), key=_id_of)
    journal = geometry.data.scanpick.journal
    if [line.entry for line in journal] != [entry.id for entry in wanted]:
        journal.clear()
        for entry in wanted:
            _append(geometry.data, entry)


def _id_of(entry: Entry) -> int:
    return entry.id


def _append(data: bpy.types.ID, entry: Entry) -> None:
    line = data.scanpick.journal.add()
    line.entry = entry.id
    line.parent_entry = entry.parent
    line.kind = entry.kind
    line.number = entry.object
    line.data = json.dumps(entry.data, separators=(",", ":"))
