"""Clicks in a file: which objects of a scan are clicked where, for scripts, pipelines and demos.

    {"voxel_size": 0.05,
     "objects": [{"name": "lamp",
                  "clicks": [{"position": [1.5, 0.7, -1.9], "positive": true},
                             {"vertex": 1234, "positive": false}]}]}

`voxel_size` (metres, the working resolution) may be left out, `positive` means true where it is missing. A
click has a position in the coordinates of the scan's file, or the index of a vertex. The order of clicks is
the order of clicking.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .data.scans import Scan
from .errors import UserError
from .wire.protocol import Click
from .wire.requests import LARGEST_VOXEL, SMALLEST_VOXEL

LARGEST_FILE = 50_000_000
LARGEST = float(np.finfo(np.float32).max)
NOWHERE = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class ClickedObject:
    """One object: its name and its clicks in clicking order."""

    name: str
    clicks: list[Click]


@dataclass(frozen=True)
class ClicksFile:
    """What a clicks file says. voxel_size: metres or None."""

    objects: list[ClickedObject]
    voxel_size: float | None


def read_clicks(path: str | Path, scan: Scan | None = None) -> ClicksFile:
    """Read a clicks file. With a scan, vertices are checked against it and get their positions, and positions
    are moved into its frame; without one, a click on a vertex has the position NOWHERE.

    Raises UserError with a sentence that names the file and the place in it.
    """
    path = Path(path)
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UserError(f"{path} is too large to be a clicks file.")
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"The clicks file {path} can't be read: {error.strerror}.") from None
    except (ValueError, RecursionError):
        raise UserError(f"{path} is no clicks file: it is not JSON.") from None
    try:
        return _read(content, scan)
    except _Wrong as wrong:
        raise UserError(f"{path} is no good clicks file: {wrong}.") from None


class _Wrong(Exception):
    """What is wrong, and where in the file."""


def _read(content: object, scan: Scan | None) -> ClicksFile:
    if not isinstance(content, dict) or not isinstance(content.get("objects"), list):
        raise _Wrong('it must be an object with a list "objects"')
    if not content["objects"]:
        raise _Wrong('its list "objects" is empty')
    objects: list[ClickedObject] = []
    for number, entry in enumerate(content["objects"], 1):
        place = f"object {number}"
        if not isinstance(entry, dict):
            raise _Wrong(f'{place} must be an object with a "name" and a list "clicks"')
        name = entry.get("name")
        if not isinstance(name, str) or not name.strip():
            raise _Wrong(f'{place} has no "name"')
        if name in {known.name for known in objects}:
            raise _Wrong(f"two objects are named '{name}'")
        clicks = entry.get("clicks")
        if not isinstance(clicks, list) or not clicks:
            raise _Wrong(f"'{name}' has no list \"clicks\"")
        read = [_click(click, f"click {index} of '{name}'", scan) for index, click in enumerate(clicks, 1)]
        objects.append(ClickedObject(name, read))
    return ClicksFile(objects, _voxel_size(content.get("voxel_size")))


def _click(entry: object, place: str, scan: Scan | None) -> Click:
    if not isinstance(entry, dict):
        raise _Wrong(f'{place} must be an object with a "position" or a "vertex"')
    positive = entry.get("positive", True)
    if not isinstance(positive, bool):
        raise _Wrong(f'"positive" of {place} must be true or false')
    if ("position" in entry) == ("vertex" in entry):
        raise _Wrong(f'{place} needs either a "position" or a "vertex"')
    if "vertex" in entry:
        return _click_on_vertex(entry["vertex"], positive, place, scan)
    position = entry["position"]
    if not isinstance(position, list) or len(position) != 3 or not all(_is_number(x) for x in position):
        raise _Wrong(f'the "position" of {place} must be three finite numbers, as float32 has them')
    if scan is not None:
        position = [x - offset for x, offset in zip(position, scan.offset.tolist(), strict=True)]
    return Click(tuple(map(float, position)), positive)


def _click_on_vertex(vertex: object, positive: bool, place: str, scan: Scan | None) -> Click:
    if not isinstance(vertex, int) or isinstance(vertex, bool) or vertex < 0:
        raise _Wrong(f'the "vertex" of {place} must be a whole number from 0')
    if scan is None:
        return Click(NOWHERE, positive, vertex)
    if vertex >= len(scan):
        raise _Wrong(f"{place} is on vertex {vertex}, and the scan has {len(scan)}")
    return Click(tuple(scan.positions[vertex].tolist()), positive, vertex)


def _voxel_size(value: object) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or not SMALLEST_VOXEL <= value <= LARGEST_VOXEL:
        raise _Wrong(f'"voxel_size" must be metres from {SMALLEST_VOXEL:g} to {LARGEST_VOXEL:g}')
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -LARGEST <= value <= LARGEST
