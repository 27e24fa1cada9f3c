"""Clicks in, masks out: asks the server, waits without blocking, applies answers one after the other.

`pump()` does everything that is due and returns quickly; a timer calls it in the window, a loop in scripts and tests.
"""

import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import bpy
import numpy as np

from ..scan import scan as scans
from ..scan.geometry import SCAN_TYPES, Geometry
from ..scan.steps import Steps, at_once
from ..server.connection import Connection
from ..wire.client import MaskReady, RequestFailed
from ..wire.protocol import Click, ErrorCode
from ..wire.requests import SMALLEST_VOXEL
from . import application, edits, joined, journal, object_list, progress, starts, surroundings, watch
from .answers import Answer, Answers
from .application import ApplicationError, Noticed
from .background import in_background
from .pending import Pending, PendingList, Progress, has_positive, upcoming, waiting, wire_clicks
from .state import EMPTY, ObjectState, ScanState
from .undo import Step

MOST_TRIES = 20  # to read a scan under an artist who changes modes and undoes meanwhile
BUDGET = 0.02  # seconds of one pump() for reading groups; a frame at 50 Hz


class ClickError(Exception):
    """A click that cannot be done; the text is one sentence for the artist, `fix` the operator that may mend it."""

    def __init__(self, sentence: str, fix: str = ""):
        super().__init__(sentence)
        self.fix = fix


@dataclass
class Notice:
    """A line in the panel. `operator` mends it where one can."""

    level: str  # INFO, WARNING or ERROR
    text: str
    operator: str = ""
    number: int = 0  # of the object that the operator is about
    state: ScanState | None = None  # of the scan when it was said


@dataclass
class _Known:
    scan: scans.Scan
    version: tuple  # of the data when it was read
    key: str | None = None  # the client's key of the scene, once it was given to it


class _Job:
    """Work on a scan in steps, which `begin` gives: an answer on its way into it, or, where `pending` is None, what was
    done to it by hand on its way into the list."""

    def __init__(self, begin: Callable[[], Iterator[None]], pending: Pending | None = None):
        self.begin, self.pending, self.steps, self.tries = begin, pending, begin(), 0


@dataclass
class Session:
    """Everything of this Blender that is not in the file."""

    connection: Connection = field(default_factory=Connection)
    pending: PendingList = waiting
    notices: dict[int, Notice] = field(default_factory=dict)
    answers: Answers = field(default_factory=Answers)
    groups_read: dict[int, tuple] = field(default_factory=dict)  # version of each scan whose groups are known
    unpredicted: dict[tuple[int, int], int] = field(default_factory=dict)
    """Of clicks that were quicker than their masks: scan and journal entry of those without one, and the object."""
    looked_at: dict[int, tuple] = field(default_factory=dict)  # version of each scan without vertices from elsewhere
    redo_due: int = 0
    held: int = 0
    """How many operators hold on to Blender's data: what arrives waits for their end, as its undo step would have
    half of what they make."""
    _known: dict[int, _Known] = field(default_factory=dict)
    _client_of_keys: object = None
    _unused: list[str] = field(default_factory=list)
    _jobs: list[_Job] = field(default_factory=list)

    # Clicking

    def scan_of(self, obj: bpy.types.Object, scene: bpy.types.Scene) -> scans.Scan:
        """The object's scan as it is now; read again only where something has changed. Raises ScanError."""
        geometry = Geometry(obj)
        known = self._known.get(obj.session_uid)
        state = journal.state(geometry) if geometry.count else EMPTY
        version = watch.version(geometry.data.session_uid)
        trusted = known is not None and known.version == version
        with progress.shown() as tell:
            fresh = scans.read(geometry, scene, known.scan if known else None, state.voxel_size_of, trusted, tell)
        if known is None or fresh is not known.scan:
            self._forget_scene(known)
            self._forget_deleted()
            self._known[obj.session_uid] = _Known(fresh, version)
        known = self._known[obj.session_uid]
        known.version = version
        return fresh

    def known_scan(self, obj: bpy.types.Object) -> scans.Scan | None:
        """The scan as it was last read, without looking whether it changed."""
        known = self._known.get(obj.session_uid)
        return known.scan if known else None

    def submit(
        self, obj: bpy.types.Object, scene: bpy.types.Scene, number: int, changes: list[journal.Change], step: Step
    ) -> Pending | None:
        """Ask for the mask that follows from `changes`; they are written when it is here, in one undo step.

        Returns None where no network is needed: the object has no positive click left, or no click at all on the mask
        that it started from.
        Raises ClickError with a sentence.
        """
        try:
            scan = self.scan_of(obj, scene)
        except scans.ScanError as error:
            raise ClickError(str(error)) from error
        geometry = Geometry(obj)
        data_uid = geometry.data.session_uid
        state = journal.preview(upcoming(geometry), changes)
        voxel_size = state.voxel_size_of(scan.proposal)
        if 0 < scan.proposal.extent < SMALLEST_VOXEL:
            raise ClickError(scan.proposal.warning)
        if voxel_size != state.voxel_size:
            proposed = {"voxel_size": voxel_size, "proposed_for": scan.proposal.extent}
            changes = [("scan", -1, proposed), *changes]
        clicks = wire_clicks(state, number, scan, voxel_size)
        known = state.get(number)
        if known is None or not known.presses or not has_positive(clicks):
            return None
        failed = self.connection.ensure_server()
        if failed:
            raise ClickError(failed, self.connection.remedy)
        key = self._scene_key(obj, scan)
        request = self._ask(key, data_uid, number, clicks, voxel_size, state.adapt)
        version = watch.version(data_uid)
        pending = Pending(obj.session_uid, data_uid, number, changes, step, scan, key, request, voxel_size, version)
        pending.markers = [
            ((p[0], p[1], p[2]), data["sign"] > 0)
            for kind, _, data in changes
            if kind == "click"
            for p in data["points"]
        ]
        self.pending.items.append(pending)
        warning = scans.warning_of(scan, obj)
        self.notice(data_uid, "WARNING" if warning else "INFO", warning)
        return pending

    def _ask(self, scene: str, data_uid: int, number: int, clicks: list[Click], voxel_size: float, adapt: bool) -> int:
        options = {"adapt": True} if adapt else {}
        return self.connection.client.predict(
            scene, f"{data_uid}/{number}", clicks, voxel_size=voxel_size, options=options, probabilities=True
        )

    def upload_waits(self, pending: Pending) -> str:
        """Why the server does not take a press's scan now, as a sentence; "" where it does."""
        client = self.connection.client
        return client.upload_waits(pending.scene) if client is not None and client is self._client_of_keys else ""

    def _scene_key(self, obj: bpy.types.Object, scan: scans.Scan) -> str:
        if self._client_of_keys is not self.connection.client:
            self._client_of_keys = self.connection.client
            self._unused.clear()
            for known in self._known.values():
                known.key = None
        known = self._known[obj.session_uid]
        if known.key is None:
            known.key = self.connection.client.put_scene(scan.points, scan.point_colors)
        return known.key

    def _forget_scene(self, known: _Known | None) -> None:
        if known and known.key and self._client_of_keys is self.connection.client:
            self._unused.append(known.key)
            self._drop_unused()

    def _drop_unused(self) -> None:
        """Scenes that are no more are dropped as soon as no click waits for them."""
        waited_for = {pending.scene for pending in self.pending.items}
        for key in [key for key in self._unused if key not in waited_for]:
            self._unused.remove(key)
            self.connection.client.drop_scene(key)

    def _forget_deleted(self) -> None:
        """Scans of objects that are no more; where undo brings one back, it is read and sent again."""
        there = {obj.session_uid for obj in bpy.data.objects}
        for uid in self._known.keys() - there:
            self._forget_scene(self._known.pop(uid))

    def cancel(self, pending: Pending) -> None:
        """Give a press up as if it had never been."""
        if pending not in self.pending.items:
            return
        self.pending.items.remove(pending)
        later = self.pending.of_object(pending.data_uid, pending.number)
        if later:  # the object itself may have come with this press
            later[0].changes = [c for c in pending.changes if c[0] in ("create", "scan")] + later[0].changes
        if self.connection.client is not None:
            self.connection.client.cancel(pending.request)
        self._ask_again(pending)
        redraw()

    def cancel_latest(self, data_uid: int | None = None) -> bool:
        """Give the newest pending press up, of one scan or of any. False where there is none."""
        candidates = self.pending.items if data_uid is None else self.pending.of_data(data_uid)
        if not candidates:
            return False
        self.cancel(candidates[-1])
        return True

    def cancel_all(self) -> None:
        """Give all presses up, of all scans."""
        while self.cancel_latest():
            pass

    # Answers

    def pump(self) -> bool:
        """Do what is due. Returns whether something is still under way."""
        if self.redo_due:
            self.redo_due -= 1
            if bpy.ops.ed.redo.poll():
                bpy.ops.ed.redo()
        for event in self.connection.poll(clicks_wait=bool(self.pending.items)):
            if isinstance(event, MaskReady):
                self._arrived(event)
            elif isinstance(event, RequestFailed):
                self._failed(event)
        if not self.held:
            self._look_at_touched()
        self._work()
        if self._client_of_keys is self.connection.client:
            self._drop_unused()
        return bool(self.pending.items or self._jobs or self.redo_due)

    def _arrived(self, event: MaskReady) -> None:
        pending = self.pending.by_request(event.request)
        if pending is not None:
            pending.progress = Progress.ARRIVED
            self._jobs.append(_Job(partial(self._apply, pending, event), pending))

    def _failed(self, event: RequestFailed) -> None:
        pending = self.pending.by_request(event.request)
        if pending is None:
            return
        later = self.pending.of_object(pending.data_uid, pending.number)[-1] is not pending
        if later:
            pending.progress = Progress.SUPERSEDED
            return
        self.pending.items.remove(pending)
        if event.code is ErrorCode.SUPERSEDED:
            return
        self.notice(pending.data_uid, "ERROR", event.message)
        self._ask_again(pending)

    def _ask_again(self, gone: Pending) -> None:
        """A press is gone; one before it that had been left to it needs an answer of its own."""
        rest = self.pending.of_object(gone.data_uid, gone.number)
        if not rest or rest[-1].progress is not Progress.SUPERSEDED or self.connection.client is None:
            return
        last = rest[-1]
        try:
            geometry = application.geometry_of(last.object_uid, last.data_uid)
        except ApplicationError:
            return
        state = journal.preview(journal.state(geometry), self.pending.changes(last.data_uid, until=last))
        clicks = wire_clicks(state, last.number, last.scan, last.voxel_size)
        last.request = self._ask(last.scene, last.data_uid, last.number, clicks, last.voxel_size, state.adapt)
        last.progress = Progress.ASKED

    def renumber(self) -> None:
        """Give objects whose first masks are on their way other numbers where redo brought back ones with theirs."""
        for pending in [pending for pending in self.pending.items if pending.creates]:
            try:
                geometry = application.geometry_of(pending.object_uid, pending.data_uid)
            except ApplicationError:
                continue
            if journal.state(geometry).get(pending.number) is None:
                continue
            presses = self.pending.of_object(pending.data_uid, pending.number)
            creation = edits.creation(geometry)
            for press in presses[presses.index(pending) :]:
                press.renumber(creation)
                if press.progress is Progress.ASKED:  # under the number that the other object has
                    self.connection.client.cancel(press.request)
                    press.progress = Progress.SUPERSEDED
            self._ask_again(pending)

    def _work(self) -> None:
        """Go on with the first answer for up to a frame's time."""
        until = time.perf_counter() + BUDGET
        while self._jobs and not self.held and time.perf_counter() < until:
            job = self._jobs[0]
            try:
                if job.pending is not None and job.pending not in self.pending.items:
                    raise StopIteration
                next(job.steps)
            except StopIteration:
                self._jobs.pop(0)
            except ApplicationError as error:
                self._jobs.pop(0)
                if job.pending is not None:
                    self._drop(job.pending, str(error))
            except ReferenceError as error:
                # undo, or another mode, took away what was being read: it is read afresh
                job.tries += 1
                job.steps = job.begin()
                if job.tries > MOST_TRIES:
                    self._jobs.pop(0)
                    self._give_up(job.pending, error)
            except Exception as error:
                self._jobs.pop(0)
                self._give_up(job.pending, error)

    def _give_up(self, pending: Pending | None, error: Exception) -> None:
        traceback.print_exception(error)
        if pending is not None:
            self._drop(pending, f"The mask could not be put into the scan ({error}): click again.")

    def _drop(self, pending: Pending, sentence: str) -> None:
        for gone in self.pending.of_object(pending.data_uid, pending.number):
            self.pending.items.remove(gone)
            self.connection.client.cancel(gone.request)
        self.notice(pending.data_uid, "WARNING", sentence)

    def _apply(self, pending: Pending, event: MaskReady) -> Iterator[None]:
        geometry = application.geometry_of(pending.object_uid, pending.data_uid)
        self._check_unedited(geometry, pending)
        probabilities = event.probabilities
        if probabilities is None:
            probabilities = event.mask.astype(np.uint8) * 255
        on_vertices = pending.scan.to_vertices(probabilities)
        neighbours = None
        if self._previewed(geometry, pending).starts:
            neighbours = yield from in_background(lambda: surroundings.of(pending.scan, pending.voxel_size))
        groups_version = watch.version(pending.data_uid)
        noticed = yield from self.noticing(geometry)
        # time may have passed in between: look at everything afresh
        geometry = application.geometry_of(pending.object_uid, pending.data_uid)
        self._check_unedited(geometry, pending)
        self.renumber()
        for earlier in self.pending.of_object(pending.data_uid, pending.number):
            if earlier is pending:
                break
            self.pending.items.remove(earlier)
            self.connection.client.cancel(earlier.request)
            application.apply_mask(
                geometry, earlier.number, None, noticed, earlier.changes, earlier.step, not earlier.left
            )
            noticed = Noticed()
            geometry = application.geometry_of(pending.object_uid, pending.data_uid)
            self.unpredicted[pending.data_uid, journal.revision(geometry)] = pending.number
        known, before = self._previewed(geometry, pending), journal.state(geometry).get(pending.number)
        if before is not None and before.locked:
            raise ApplicationError(f"“{known.name}” was locked meanwhile, so nothing was changed: unlock it to click.")
        mask = application.decided(on_vertices, known.threshold)
        if neighbours is not None:
            mask = starts.corrected(known, mask, neighbours, pending.scan)
        result = application.apply_mask(
            geometry, pending.number, mask, noticed, pending.changes, pending.step, not pending.left
        )
        self.pending.items.remove(pending)
        self.groups_read[pending.data_uid] = groups_version
        self._applied(pending, event, on_vertices, result)

    def noticing(self, geometry: Geometry) -> Steps[Noticed]:
        """What the artist did by hand: the masks are read, where somebody may have changed them.

        The artist may go on in between: check the scan again afterwards.
        """
        self.look_at(geometry)
        uid = geometry.data.session_uid
        if self.groups_read.get(uid) == watch.version(uid) and not object_list.mask_missing(geometry):
            return Noticed()
        return (yield from application.noticed_edits(geometry, journal.state(geometry)))

    def look_at(self, geometry: Geometry) -> None:
        """Take over what came into the scan from elsewhere, where somebody may have changed it."""
        uid, version = geometry.data.session_uid, watch.version(geometry.data.session_uid)
        if self.looked_at.get(uid) == version or not _may_be_written(geometry):
            return
        self.looked_at[uid] = version
        taken = joined.take_over(geometry)
        if taken:
            things = "1 object" if taken == 1 else f"{taken} objects"
            came = f"{things} came by joining or converting, as masks without their clicks"
            self.notice(uid, "INFO", f"{came}: click where one is wrong.")

    def _look_at_touched(self) -> None:
        touched = watch.take_touched()
        objects: dict[int, bpy.types.Object] = {}
        for obj in bpy.data.objects if touched else ():  # once: thousands may be touched when a file is opened
            if obj.type in SCAN_TYPES and obj.data.session_uid in touched:
                objects.setdefault(obj.data.session_uid, obj)
        for uid, obj in objects.items():
            geometry = Geometry(obj)
            self.look_at(geometry)
            if not _may_be_written(geometry):
                continue
            if object_list.mask_missing(geometry):
                self._jobs.append(_Job(partial(self._settled, obj.session_uid, uid)))
            elif obj.data.scanpick.objects and journal.last_count(geometry) != geometry.count:
                object_list.refresh(geometry)

    def _settled(self, object_uid: int, data_uid: int) -> Iterator[None]:
        """`settle` in steps; given up where something else was done to the scan in between."""
        geometry = application.geometry_of(object_uid, data_uid)
        before = watch.version(data_uid), journal.revision(geometry)
        noticed = yield from self.noticing(geometry)
        geometry = application.geometry_of(object_uid, data_uid)
        if (watch.version(data_uid), journal.revision(geometry)) == before:
            application.write_noticed(geometry, noticed)
            self.groups_read[data_uid] = before[0]

    def settle(self, geometry: Geometry) -> None:
        """Read and write down what the artist did to the masks by hand, before objects as a whole are changed."""
        application.write_noticed(geometry, at_once(self.noticing(geometry)))
        uid = geometry.data.session_uid
        self.groups_read[uid] = watch.version(uid)

    def _previewed(self, geometry: Geometry, pending: Pending) -> ObjectState:
        """The object as it will be with this press. Raises ApplicationError where it is gone."""
        changes = self.pending.changes(pending.data_uid, until=pending)
        known = journal.preview(journal.state(geometry), changes).get(pending.number)
        if known is None:
            raise ApplicationError("The object was deleted while its mask was on the way; nothing was changed.")
        return known

    @staticmethod
    def _check_unedited(geometry: Geometry, pending: Pending) -> None:
        if geometry.count != pending.scan.count or watch.version(pending.data_uid) != pending.version:
            application.check_unedited(geometry, pending.scan, bpy.context.scene)

    def _applied(
        self, pending: Pending, event: MaskReady, probabilities: np.ndarray, result: application.Result
    ) -> None:
        geometry = application.geometry_of(pending.object_uid, pending.data_uid)
        known = journal.state(geometry).get(pending.number)
        self.answers.keep(pending.data_uid, known, Answer(probabilities, event.timing))
        text = f"{known.name}: {result.vertices:,} vertices (+{result.added:,}, -{result.removed:,})"
        if result.protected:
            text += f"; {result.protected:,} of locked objects or hidden were left as they are"
        warning = scans.warning_of(pending.scan, geometry.obj)
        self.notice(pending.data_uid, "WARNING" if warning else "INFO", f"{text}. {warning}".rstrip())

    # Telling

    def notice(self, data_uid: int, level: str, text: str, operator: str = "", number: int = 0) -> None:
        """Put a line into the panel of a scan; an empty text takes it away."""
        if text:
            self.notices[data_uid] = Notice(level, text, operator, number, object_list.shown_state(data_uid))
        else:
            self.notices.pop(data_uid, None)
        redraw()

    def tell_unpredicted(self, geometry: Geometry) -> None:
        """After undo and redo: say so where these clicks never had a mask, and choose the object for the button.

        Asking by itself would stand in the way of the next undo, and of redo.
        """
        uid = geometry.data.session_uid
        number = self.unpredicted.get((uid, journal.revision(geometry)))
        if number is not None:
            object_list.activate(geometry, number)
            text = "The next click came before the mask of these clicks: have it predicted, or undo once more."
            self.notice(uid, "WARNING", text, "scanpick.predict_again", number)

    def notice_of(self, data_uid: int) -> Notice | None:
        """What the panel says about a scan: a notice holds until its objects or clicks change, undo included."""
        notice = self.notices.get(data_uid)
        return notice if notice is not None and notice.state == object_list.shown_state(data_uid) else None

    def forget_notices(self, operators: set[str]) -> None:
        """Take away what one of these operators is mending."""
        self.notices = {uid: notice for uid, notice in self.notices.items() if notice.operator not in operators}

    def forget_file(self) -> None:
        """Another file was opened: nothing of the old one is meant any more."""
        for pending in list(self.pending.items):
            if self.connection.client is not None:
                self.connection.client.cancel(pending.request)
        self.pending.items.clear()
        self._jobs.clear()
        for known in self._known.values():
            self._forget_scene(known)
        self._known.clear()
        self.notices.clear()
        self.answers.clear()
        self.groups_read.clear()
        self.unpredicted.clear()
        self.looked_at.clear()
        self.redo_due = 0
        journal.forget_all()
        object_list.forget_all()
        surroundings.forget_all()


def _may_be_written(geometry: Geometry) -> bool:
    """Whether what was done elsewhere can be written down now."""
    return geometry.obj.mode == "OBJECT" and not geometry.editing and geometry.data.is_editable


def redraw() -> None:
    """Draw all 3D viewports again."""
    for window in bpy.context.window_manager.windows if bpy.context.window_manager else ():
        for area in window.screen.areas:
            if area.type == "VIEW_3D":
                area.tag_redraw()


session = Session()
