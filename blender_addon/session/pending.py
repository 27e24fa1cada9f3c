"""Clicks whose masks are under way. Nothing of them is in the .blend file until the mask arrives."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from ..scan.geometry import Geometry
from ..scan.scan import Scan
from ..wire.clicks import NEAR, in_steps
from ..wire.protocol import Click
from . import journal, starts
from .state import ObjectState, ScanState
from .undo import Step


class Progress(Enum):
    """How far a pending press has come."""

    ASKED = auto()
    SUPERSEDED = auto()  # a later press of the same object asks for it too
    ARRIVED = auto()


@dataclass(eq=False)
class Pending:
    """One press of the artist (or a press taken back) that waits for its mask.

    `object_uid` and `data_uid` are Blender's session ids: references die with every undo.
    """

    object_uid: int
    data_uid: int
    number: int
    changes: list[journal.Change]
    step: Step
    scan: Scan
    scene: str
    request: int
    voxel_size: float
    version: tuple  # of the scan's data when it was sent
    progress: Progress = Progress.ASKED
    markers: list[tuple[tuple[float, float, float], bool]] = field(default_factory=list)
    left: bool = False  # the artist went on to the next object before the mask was here

    @property
    def creates(self) -> bool:
        """Whether the object itself comes with this press."""
        return any(kind == "create" for kind, _, _ in self.changes)

    def renumber(self, creation: journal.Change) -> None:
        """Have the press be about the object that `creation` makes."""
        before, self.number = self.number, creation[1]
        self.changes = [
            creation if kind == "create" else (kind, self.number if number == before else number, data)
            for kind, number, data in self.changes
        ]


class PendingList:
    """All pending presses in the order of pressing."""

    def __init__(self) -> None:
        self.items: list[Pending] = []

    def of_data(self, data_uid: int) -> list[Pending]:
        return [p for p in self.items if p.data_uid == data_uid]

    def of_object(self, data_uid: int, number: int) -> list[Pending]:
        return [p for p in self.of_data(data_uid) if p.number == number]

    def begun(self, data_uid: int) -> int | None:
        """The number of the new object that the artist is clicking at; None where there is none, or it was left."""
        return next((p.number for p in reversed(self.of_data(data_uid)) if p.creates and not p.left), None)

    def leave(self, data_uid: int) -> None:
        """Further clicks belong to no object that is on its way."""
        for pending in self.of_data(data_uid):
            pending.left = True

    def accept(self, data_uid: int, number: int) -> bool:
        """Have an object locked as soon as its newest mask is here. False where none is on its way."""
        presses = self.of_object(data_uid, number)
        if presses:
            presses[-1].changes = [*presses[-1].changes, ("set", number, {"locked": True})]
        return bool(presses)

    def by_request(self, request: int) -> Pending | None:
        return next((p for p in self.items if p.request == request), None)

    def changes(self, data_uid: int, until: Pending | None = None) -> list[journal.Change]:
        """What would be written for all presses on this scan, up to and with `until`."""
        changes: list[journal.Change] = []
        for pending in self.of_data(data_uid):
            changes += pending.changes
            if pending is until:
                break
        return changes


waiting = PendingList()
"""Those of this Blender."""


def upcoming(geometry: Geometry) -> ScanState:
    """The scan's state as it will be when all pending masks are here."""
    return journal.preview(journal.state(geometry), waiting.changes(geometry.data.session_uid))


def wire_clicks(state: ScanState, number: int, scan: Scan, voxel_size: float) -> list[Click]:
    """An object's clicks in their order, as the server wants them: first places of the mask it started from; with each
    press the positive clicks on other objects near it, as negative ones.

    voxel_size: metres.
    """
    known = state.get(number)
    if known is None:
        return []
    steps = []
    if known.starts:
        seeds = starts.seeds(known, scan.raw).tolist()
        steps.append([Click(scan.position(scan.raw[vertex]), True, scan.point_index(vertex)) for vertex in seeds])
    steps += _steps(known, scan)
    others = [
        click
        for other in state.objects
        if other.number != number and not state.overlap
        for step in _steps(other, scan)
        for click in step
        if click.positive
    ]
    return in_steps(filter(None, steps), others, NEAR * voxel_size)


def _steps(known: ObjectState, scan: Scan) -> list[list[Click]]:
    """An object's clicks, press by press."""
    steps = []
    for press in known.presses:
        step = []
        for place, vertex in press.places(scan.count, scan.raw.__getitem__):
            index = scan.point_index(vertex) if vertex >= 0 else -1
            step.append(Click(scan.position(place), press.positive, index))
        steps.append(step)
    return steps


def has_positive(clicks: Iterable[Click]) -> bool:
    return any(click.positive for click in clicks)
