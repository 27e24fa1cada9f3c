"""The session that runs in this Blender. It is no part of the .blend file and no undo touches it; every finished task
is in the session's file at once."""

import time
from pathlib import Path

import bpy
import numpy as np

from ..labels.objects import labels_of_attribute
from ..scan.geometry import Geometry, coordinates
from ..scan.scan import Scan, ScanError
from ..session import edits, journal
from ..session.session import redraw, session
from ..session.state import Place, Press
from . import recording, target
from .recording import Recording


class StudyError(Exception):
    """The session cannot go on like this; the text is one sentence."""


GONE = "The object of this task is gone: undo or redo until it is back, or stop the study."

_running: tuple[int, Recording] | None = None
_truth: np.ndarray | None = None


def running() -> Recording | None:
    """The session that is under way."""
    return _running[1] if _running is not None else None


def scan() -> bpy.types.Object | None:
    """The scan of the session."""
    return next((o for o in bpy.data.objects if _running and o.session_uid == _running[0]), None)


def task_of(data: bpy.types.ID) -> int | None:
    """The number of the object that is clicked out now on a scan with this data; None where it is not studied."""
    obj = scan()
    return running().number if obj is not None and obj.data == data else None


def start(obj: bpy.types.Object, attribute: str, path: Path, count: int, seed: int) -> Recording:
    """Begin a session on the labels of an attribute and show the first task. Raises StudyError, LabelError."""
    global _running, _truth
    geometry = Geometry(obj)
    truth = labels_of_attribute(geometry, attribute)
    seen = _seen(obj)
    if len(seen.valid) < seen.count:
        missing = f"{seen.count - len(seen.valid):,} vertices have no valid position (NaN)"
        raise StudyError(f"{missing}, which no replay reads: delete them first.")
    try:
        # the vertices alone: samples on faces come behind them
        positions = seen.points[: seen.count]
        new = recording.begin(path, truth, count, seed, positions, seen.vertex_colors.values)
    except ValueError as error:
        raise StudyError(f"There is nothing to ask for: {error}. Choose the attribute with the labels.") from error
    except OSError as error:
        raise StudyError(f"{path.parent} cannot be written to ({error.strerror}): choose another folder.") from error
    _running, _truth = (obj.session_uid, new), truth.instance
    _show_task(geometry)
    return new


def submit() -> Recording:
    """End the current task with the clicks it has and show the next. Raises StudyError."""
    now = time.time()
    geometry, current = _current()
    state = journal.preview(journal.state(geometry), session.pending.changes(geometry.data.session_uid))
    known = state.get(current.number)
    if known is None:
        raise StudyError(GONE)
    if not known.presses:
        raise StudyError("Click the object at least once, then submit.")
    seen = _seen(geometry.obj)

    def places(press: Press) -> list[tuple[Place, int]]:
        found = press.places(seen.count, seen.raw.__getitem__)
        return [(seen.position(local), vertex) for local, vertex in found]

    current.submit(known, places, state.voxel_size or seen.proposal.voxel_size, now)
    try:
        current.save()
    except OSError as error:
        current.done.pop()
        words = f"{current.path} cannot be written ({error.strerror}): free some space, then submit again."
        raise StudyError(words) from error
    # no object may help or hinder the next one
    while session.cancel_latest(geometry.data.session_uid):
        pass
    for known in journal.state(geometry).objects:
        edits.delete(geometry, known.number)
    if current.task is None:
        stop()
    else:
        _show_task(geometry)
    return current


def stop() -> None:
    """End the session; what was submitted is in its file."""
    global _running, _truth
    _running = _truth = None
    target.hide()
    redraw()


def abandon() -> None:
    """End the session in the middle: of the task that was not finished nothing stays but what was clicked."""
    obj, current = scan(), running()
    if obj is not None and current is not None:
        known = journal.state(Geometry(obj)).get(current.number)
        if known is not None and not known.presses:
            edits.delete(Geometry(obj), current.number)
    stop()


def _seen(obj: bpy.types.Object) -> Scan:
    """The scan as the server sees it: in metres, whatever its scale and the scene's units. Raises StudyError."""
    try:
        return session.scan_of(obj, bpy.context.scene)
    except ScanError as error:
        raise StudyError(str(error)) from error


def _current() -> tuple[Geometry, Recording]:
    obj = scan()
    if obj is None:
        raise StudyError("The scan of the study is gone: open its file again and start anew.")
    geometry = Geometry(obj)
    if geometry.count != running().vertices:
        raise StudyError("Vertices of the scan came or went, so its labels fit no more: undo that, or stop the study.")
    return geometry, running()


def _show_task(geometry: Geometry) -> None:
    current = running()
    name = current.names.get(current.task) or f"label {current.task}"
    current.number = edits.create(geometry, f"Task {len(current.done) + 1}: {name}")
    with geometry.snapshot() as data:
        points = coordinates(data)[_truth == current.task]
    target.show(geometry.obj, points)
    redraw()
    current.started = time.time()
