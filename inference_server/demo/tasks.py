"""What the demo's artist clicks: objects chosen from a scan's labels, or clicks read from a file."""

import base64
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from inference_server.clicks_file import read_clicks
from inference_server.data.scans import STRUCTURE, Scan
from inference_server.errors import UserError
from inference_server.wire.protocol import Click

SMALLEST = 200
"""Instances with fewer vertices are left out."""
FARTHEST = 0.1
"""Metres that a click of a file may lie from its vertex."""


@dataclass
class Task:
    """One object to click: its true vertices (N,) bool where the scan has labels, else the clicks to give."""

    name: str
    truth: np.ndarray | None = None
    clicks: list[Click] = field(default_factory=list)


def from_labels(scan: Scan, count: int = 10) -> list[Task]:
    """Every n-th of the instances over 200 vertices, sorted by size, structure left out: at most `count`.

    Raises UserError where the scan has no labels or no such instance.
    """
    if scan.instance is None:
        raise UserError(f"{scan.name} has no instance labels to click by: say where to click with --clicks FILE.json.")
    numbers, sizes = np.unique(scan.instance[scan.instance >= 0], return_counts=True)
    order = np.lexsort((numbers, -sizes))
    chosen = [
        int(number)
        for number, size in zip(numbers[order], sizes[order], strict=True)
        if size > SMALLEST and scan.names.get(int(number)) not in STRUCTURE
    ]
    if not chosen:
        raise UserError(f"{scan.name} has no labelled object of more than {SMALLEST} vertices: give another scan.")
    step = max(1, len(chosen) // count)
    tasks, names = [], set()
    for number in chosen[::step][:count]:
        name = _unused(scan.names.get(number, f"object {number}"), names)
        tasks.append(Task(name, truth=scan.instance == number))
    return tasks


def from_file(scan: Scan, path: str | Path) -> tuple[list[Task], float | None]:
    """Objects and clicks of a clicks file, each at the nearest vertex; its voxel size in metres or None.

    Raises UserError where the file is none, or a click lies farther than 10 cm from every vertex.
    """
    found = read_clicks(path, scan)
    tree = cKDTree(scan.positions)
    tasks = []
    for entry in found.objects:
        clicks = []
        for click in entry.clicks:
            vertex = click.vertex
            if vertex < 0:
                away, vertex = tree.query(click.position)
                if away > FARTHEST:
                    raise UserError(
                        f"A click of '{entry.name}' in {path} lies {away:.2f} m from the nearest vertex of "
                        f"{scan.name}: is it a file for another scan?"
                    )
            position = tuple(float(x) for x in scan.positions[vertex])
            clicks.append(Click(position, click.positive, int(vertex)))
        tasks.append(Task(entry.name, clicks=clicks))
    return tasks, found.voxel_size


def _unused(name: str, names: set[str]) -> str:
    """`name`, or it with a number, such that it is not in `names`; adds it there."""
    unused, number = name, 2
    while unused in names:
        unused, number = f"{name} {number}", number + 1
    names.add(unused)
    return unused


def packed(mask: np.ndarray) -> str:
    """A mask (N,) bool as base64 text of its packed bits."""
    return base64.b64encode(np.packbits(mask).tobytes()).decode()


def unpacked(text: str, count: int) -> np.ndarray:
    """The mask (count,) bool of such a text."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=count).astype(bool)
