"""A recorded user study beside the simulator: the same objects, the human's clicks and the simulated ones.

A session is what the add-on's study mode writes (docs/evaluation.md, "A person's clicks"). The masks are
computed again from the recorded clicks, so the figures belong to the weights of this run, for both sides
alike.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference_server.data.scans import Scan, read_scan
from inference_server.errors import UserError
from inference_server.wire.protocol import Click

from .metrics import iou
from .objects import Method, SceneTrial, object_class
from .settings import DEFAULT_VOXEL_SIZE

FORMAT = "scanpick-study"
COUNTS = (5, 10)
"""Clicks at which the paper's user study (Table VII) compares."""


@dataclass(frozen=True)
class StudyObject:
    """One object of a session: the instance asked for, the clicks, seconds from the task to each click.

    voxel_size: metres that the person's masks were computed with; None in sessions of older versions.
    """

    instance: int
    clicks: tuple[Click, ...]
    seconds: tuple[float, ...]
    voxel_size: float | None = None


@dataclass(frozen=True)
class Session:
    """A recorded session: the scan file, its vertex count, and the objects in order."""

    path: Path
    scan: Path
    vertices: int
    objects: tuple[StudyObject, ...]


def read_session(path: Path) -> Session:
    """Read a session; a relative scan path is meant from the session's folder. Raises UserError."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"The study session {path} cannot be read ({error}).") from error
    try:
        if content["format"] != FORMAT or content["version"] != 1:
            raise UserError(
                f"{path} is a session of format {content['format']} {content['version']}, not of {FORMAT} 1."
            )
        objects = tuple(_object(entry) for entry in content["objects"])
        scan, vertices = Path(content["scan"]), int(content["vertices"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is no study session (problem with {error}): record it again.") from error
    if not objects:
        raise UserError(f"{path} has no object with a click: record at least one.")
    return Session(path, scan if scan.is_absolute() else path.parent / scan, vertices, objects)


def _object(entry: dict) -> StudyObject:
    clicks = tuple(
        Click(tuple(float(x) for x in click["position"]), bool(click["positive"]), int(click["vertex"]))
        for click in entry["clicks"]
    )
    if not clicks or any(len(click.position) != 3 for click in clicks):
        raise ValueError("an object's clicks")
    seconds = tuple(float(click["seconds"]) for click in entry["clicks"])
    voxel_size = float(entry["voxel_size"]) if "voxel_size" in entry else None
    if voxel_size is not None and not 0 < voxel_size < float("inf"):
        raise ValueError("an object's voxel size")
    return StudyObject(int(entry["instance"]), clicks, seconds, voxel_size)


def replay(method: Method, session: Session, scans: Sequence[Path], voxel_size: float | None) -> dict:
    """IoU after each click of the human (carried over after submit) and of the simulator, per object.

    scans: files given by the user, tried by name before the path in the session. voxel_size: metres, None for those
    of the session (DEFAULT_VOXEL_SIZE where it has none). Raises UserError where the scan is not the one that was
    clicked.
    """
    scan = _matching_scan(session, scans)
    trial, seen_at = None, None
    rows = []
    for studied in session.objects:
        size = voxel_size or studied.voxel_size or DEFAULT_VOXEL_SIZE
        if size != seen_at:
            trial, seen_at = SceneTrial(method, scan, size), size
        if scan.instance is None or not (scan.instance == studied.instance).any():
            raise UserError(f"{scan.name} has no object {studied.instance}, which {session.path} was asked for.")
        human = _human_curve(method, scan, studied, max(COUNTS))
        simulated = trial.run(studied.instance, max(COUNTS)).ious
        rows.append(
            {
                "scene": scan.name,
                "object": studied.instance,
                "class": object_class(scan, studied.instance),
                "voxel_size": size,
                "clicks": len(studied.clicks),
                "seconds": studied.seconds[-1],
                "human": human,
                "simulator": simulated,
            }
        )
    return {"session": str(session.path), "objects": rows}


def unused_scans(sessions: Sequence[Session], scans: Sequence[Path]) -> list[Path]:
    """Files given by the user that no session asks for."""
    names = {session.scan.name for session in sessions}
    return [scan for scan in scans if scan.name not in names]


def _matching_scan(session: Session, scans: Sequence[Path]) -> Scan:
    path = next((scan for scan in scans if scan.name == session.scan.name), session.scan)
    scan = read_scan(path)
    if len(scan) != session.vertices:
        raise UserError(
            f"{path} has {len(scan)} vertices, the scan of {session.path} had {session.vertices}: "
            "give the scan that was clicked."
        )
    if max(click.vertex for studied in session.objects for click in studied.clicks) >= len(scan):
        raise UserError(f"{session.path} has a click on a vertex that {path} does not have: record it again.")
    return scan


def _human_curve(method: Method, scan: Scan, studied: StudyObject, count: int) -> list[float]:
    truth = scan.instance == studied.instance
    clicks = [
        Click(tuple(float(x) for x in scan.positions[click.vertex]), click.positive, click.vertex)
        if click.vertex >= 0
        else click
        for click in studied.clicks[:count]
    ]
    curve = [iou(truth, method.predict(clicks[: number + 1]).mask) for number in range(len(clicks))]
    return curve + [curve[-1]] * (count - len(curve))


def means(sessions: Sequence[dict]) -> dict[str, float]:
    """Mean IoU@5 and @10 over all objects of all sessions, human and simulator."""
    rows = [row for session in sessions for row in session["objects"]]
    return {
        f"{who} IoU@{count}": float(np.mean([row[who][count - 1] for row in rows]))
        for who in ("human", "simulator")
        for count in COUNTS
    }


def print_replay(console: Console, sessions: Sequence[dict]) -> None:
    """The table of the paper's user study: object by object, then the means."""
    table = Table(title="Human and simulator on the same objects, whole scans, IoU in %")
    for name in (
        "object",
        "clicks",
        "seconds",
        *(f"{w} @{c}" for w in ("human", "simulator") for c in COUNTS),
    ):
        table.add_column(name, justify="left" if name == "object" else "right")
    for row in (row for session in sessions for row in session["objects"]):
        cells = [f"{row[who][c - 1] * 100:.1f}" for who in ("human", "simulator") for c in COUNTS]
        name = f"{row['scene']} {row['object']} {row['class'] or ''}".strip()
        table.add_row(Text(name), str(row["clicks"]), f"{row['seconds']:.1f}", *cells)
    table.add_section()
    table.add_row("mean", "", "", *(f"{value * 100:.1f}" for value in means(sessions).values()))
    console.print(table)
