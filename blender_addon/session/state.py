"""What the artist has said so far: objects and clicks, as a fold over journal entries. No Blender in here.

A journal entry is never changed once written. Each names its parent, so that undo only has to move the current
entry: the state is the fold of the chain from the root to it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..scan.voxels import Proposal, working_size

Place = tuple[float, float, float]


@dataclass(frozen=True)
class Entry:
    """One line of the journal. `data` is JSON-like; see the fold below for the fields of each kind."""

    id: int
    parent: int  # 0 = the root
    kind: str
    object: int  # number of the object it is about; -1 = the whole scan
    data: dict[str, Any]


@dataclass(frozen=True)
class ClickPoint:
    """A click in the mesh's own coordinates; `vertex` is the clicked one, or the nearest corner of the clicked face,
    or -1. at: where that vertex was then, None in files of older versions."""

    position: Place
    vertex: int
    at: Place | None = None


@dataclass(frozen=True)
class Press:
    """One press of the artist: one click, or a selection given as at most eight clicks and all its vertices."""

    entry: int
    positive: bool
    points: tuple[ClickPoint, ...]
    pins: str  # vertex set that must get this label
    vertices: int  # vertex count of the mesh then: indices mean nothing in an edited mesh
    time: float

    def places(self, count: int, now: Callable[[int], Sequence[float]]) -> list[tuple[Place, int]]:
        """Where its clicks are in a mesh of `count` vertices, and their vertices, -1 where those are not known now.

        A click goes with its vertex where that was moved, by hand or with the origin.

        Args:
            now: a vertex's position, in the mesh's own coordinates.
        """
        found = []
        for point in self.points:
            position, vertex = point.position, point.vertex if self.vertices == count else -1
            if vertex >= 0 and point.at is not None:
                there = tuple(float(c) for c in now(vertex))
                if there != point.at and all(map(math.isfinite, there)):
                    position = there
            found.append((position, vertex))
        return found


@dataclass(frozen=True)
class HandEdit:
    """Vertices the artist put in or took out by hand; they stay so through later predictions."""

    entry: int
    add: str
    remove: str
    vertices: int


@dataclass(frozen=True)
class Start:
    """A mask that the object started from, made elsewhere: it is kept where no click speaks."""

    entry: int
    members: str
    vertices: int


Action = Press | HandEdit | Start


@dataclass(frozen=True)
class ObjectState:
    """One object of the scan. `number` is its value in the `instance` attribute."""

    number: int
    name: str
    color: tuple[float, float, float] = (1.0, 0.5, 0.1)
    visible: bool = True
    locked: bool = False
    threshold: float = 0.5  # probability from which a vertex belongs to the object
    actions: tuple[Action, ...] = ()

    @property
    def presses(self) -> tuple[Press, ...]:
        return tuple(a for a in self.actions if isinstance(a, Press))

    @property
    def starts(self) -> tuple[Start, ...]:
        return tuple(a for a in self.actions if isinstance(a, Start))

    @property
    def click_count(self) -> int:
        return len(self.presses)

    def locked_message(self, verb: str) -> str:
        """What the artist is told who wants to change, delete, ... it while it is locked."""
        return f"“{self.name}” is locked: unlock it to {verb} it."


@dataclass(frozen=True)
class ScanState:
    """All objects in list order (the top of the list first), and what belongs to the scan as a whole."""

    objects: tuple[ObjectState, ...] = ()
    voxel_size: float = 0.0  # metres; 0 = not chosen yet
    proposed_for: float = 0.0  # extent of the scan, in metres, that it was proposed for; 0 = the artist chose it
    overlap: bool = False
    adapt: bool = False
    last_number: int = 0
    by_number: dict[int, ObjectState] = field(default_factory=dict, compare=False, repr=False)

    def get(self, number: int) -> ObjectState | None:
        return self.by_number.get(number)

    def voxel_size_of(self, proposal: Proposal) -> float:
        """Metres: the voxel size that a scan is worked on with for which `proposal` was made."""
        return working_size(proposal, self.voxel_size, self.proposed_for)


class _Fold:
    """Applies entries to plain dictionaries; one pass for a whole chain."""

    def __init__(self, start: ScanState):
        self.objects = {o.number: o for o in start.objects}
        self.order = [o.number for o in start.objects]
        self.voxel_size = start.voxel_size
        self.proposed_for = start.proposed_for
        self.overlap = start.overlap
        self.adapt = start.adapt
        self.last_number = start.last_number

    def finish(self) -> ScanState:
        objects = tuple(self.objects[n] for n in self.order)
        by_number = {o.number: o for o in objects}
        return ScanState(
            objects, self.voxel_size, self.proposed_for, self.overlap, self.adapt, self.last_number, by_number
        )

    def apply(self, entry: Entry) -> None:
        handler = getattr(self, "_" + entry.kind, None)
        if handler is not None:  # entries of a newer version of the add-on are kept, not understood
            handler(entry)

    def _create(self, entry: Entry) -> None:
        data = entry.data
        new = ObjectState(entry.object, data["name"], tuple(data["color"]), locked=data.get("locked", False))
        if entry.object not in self.objects:  # in files of older versions two objects may have one number
            self.order.insert(data.get("at", len(self.order)), entry.object)
        self.objects[entry.object] = new
        self.last_number = max(self.last_number, entry.object)

    def _set(self, entry: Entry) -> None:
        if entry.object in self.objects:
            fields = {k: v for k, v in entry.data.items() if k in ("name", "visible", "locked", "threshold")}
            if "color" in entry.data:
                fields["color"] = tuple(entry.data["color"])
            self.objects[entry.object] = replace(self.objects[entry.object], **fields)

    def _append(self, number: int, action: Action) -> None:
        known = self.objects.get(number)
        if known is not None:
            self.objects[number] = replace(known, actions=(*known.actions, action))

    def _click(self, entry: Entry) -> None:
        data = entry.data
        points = tuple(ClickPoint(tuple(p[:3]), int(p[3]), tuple(p[4:]) or None) for p in data["points"])
        press = Press(entry.id, data["sign"] > 0, points, data["pins"], data["n"], data.get("t", 0.0))
        self._append(entry.object, press)

    def _edit(self, entry: Entry) -> None:
        data = entry.data
        self._append(entry.object, HandEdit(entry.id, data["add"], data["remove"], data["n"]))

    def _start(self, entry: Entry) -> None:
        self._append(entry.object, Start(entry.id, entry.data["members"], entry.data["n"]))

    def _back(self, entry: Entry) -> None:
        known = self.objects.get(entry.object)
        if known is not None:
            kept = tuple(a for a in known.actions if a.entry != entry.data["entry"])
            self.objects[entry.object] = replace(known, actions=kept)

    def _delete(self, entry: Entry) -> None:
        if self.objects.pop(entry.object, None) is not None:
            self.order.remove(entry.object)

    def _merge(self, entry: Entry) -> None:
        into = self.objects.get(entry.object)
        if into is None:
            return
        actions = list(into.actions)
        for number in entry.data["from"]:
            other = self.objects.pop(number, None)
            if other is not None:
                self.order.remove(number)
                actions += other.actions
        # "not this one" said about a part may well be the other part: the writer lists those presses
        dropped = set(entry.data.get("drop", ()))
        kept = [a for a in actions if a.entry not in dropped]
        self.objects[entry.object] = replace(into, actions=tuple(sorted(kept, key=lambda a: a.entry)))

    def _copy(self, entry: Entry) -> None:
        source = self.objects.get(entry.data["of"])
        if source is None:
            return
        self._create(entry)
        copied = {"actions": source.actions, "threshold": source.threshold}
        self.objects[entry.object] = replace(self.objects[entry.object], **copied)

    def _again(self, entry: Entry) -> None:
        """The network was asked once more: what was said stays, and the new mask has an entry to be told by."""

    def _order(self, entry: Entry) -> None:
        asked = [n for n in entry.data["order"] if n in self.objects]
        self.order = asked + [n for n in self.order if n not in set(asked)]

    def _scan(self, entry: Entry) -> None:
        proposed_for = entry.data.get("proposed_for", 0.0)
        by_hand = self.voxel_size and not self.proposed_for
        if "voxel_size" in entry.data and not (proposed_for and by_hand):
            self.voxel_size, self.proposed_for = entry.data["voxel_size"], proposed_for
        self.overlap = entry.data.get("overlap", self.overlap)
        self.adapt = entry.data.get("adapt", self.adapt)


EMPTY = ScanState()


def fold(entries: Iterable[Entry], start: ScanState = EMPTY) -> ScanState:
    """The state after `entries`, given in order from the oldest."""
    folding = _Fold(start)
    for entry in entries:
        folding.apply(entry)
    return folding.finish()


def chain(revision: int, find: Callable[[int], Entry | None]) -> list[Entry]:
    """Entries from the root to `revision`; stops early at an entry that is not to be found."""
    entries: list[Entry] = []
    while revision:
        entry = find(revision)
        if entry is None:
            break
        entries.append(entry)
        revision = entry.parent
    entries.reverse()
    return entries


NAME_BYTES = 59
"""Blender keeps 63 bytes of a vertex group's name, and a copy's number takes four."""


def fitting_name(wanted: str) -> str:
    """A name as Blender can keep it: in one line, and not cut within a letter."""
    line = " ".join(wanted.split())
    return line.encode("utf-8")[:NAME_BYTES].decode("utf-8", errors="ignore").strip()


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """`wanted`, or with the first free number behind it, as Blender names copies."""
    taken = set(taken)
    if wanted not in taken:
        return wanted
    stem = wanted.rsplit(".", 1)[0] if wanted[-4:-3] == "." and wanted[-3:].isdigit() else wanted
    number = 1
    while f"{stem}.{number:03d}" in taken:
        number += 1
    return f"{stem}.{number:03d}"
