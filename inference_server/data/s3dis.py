"""S3DIS (Stanford3dDataset, aligned) in its original layout: `Area_5/office_1/Annotations/chair_1.txt`."""

import re
from pathlib import Path

import numpy as np

from inference_server.errors import UserError

from .scans import RawScan, Scan, build_scan

CLASSES = (
    "ceiling", "floor", "wall", "beam", "column", "window", "door",
    "table", "chair", "sofa", "bookcase", "board", "clutter",
)  # fmt: skip
"""The 13 classes; `semantic` is the index. Others (`stairs`) become clutter, as is customary."""
ANNOTATIONS = "[!.]*_*.txt"
_DAMAGE = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def find(path: Path) -> list[Path]:
    """Room folders of the whole set, an area or one room; sorted; [] if it is no S3DIS."""
    for pattern in ("*/*/Annotations", "*/Annotations", "Annotations"):
        rooms = sorted(
            folder.parent for folder in path.glob(pattern) if folder.is_dir() and any(folder.glob(ANNOTATIONS))
        )
        if rooms:
            return rooms
    return []


def read(folder: Path) -> Scan:
    """One room, from its annotation files: every file is an instance; order as the sorted files.

    Raises UserError with the line where a file is no table of x y z r g b.
    """
    files = sorted((folder / "Annotations").glob(ANNOTATIONS))
    if not files:
        raise UserError(f"{folder} has no Annotations/*.txt: give a room folder of S3DIS.")
    tables, instance, semantic, names = [], [], [], {}
    for identity, file in enumerate(files):
        table = _read_table(file)
        name = file.stem.rsplit("_", 1)[0].lower()
        name = name if name in CLASSES else "clutter"
        tables.append(table)
        instance.append(np.full(len(table), identity, np.int32))
        semantic.append(np.full(len(table), CLASSES.index(name), np.int32))
        names[identity] = name
    table = np.concatenate(tables)
    raw = RawScan(table[:, :3], table[:, 3:6], np.concatenate(instance), np.concatenate(semantic), names)
    return build_scan(raw, f"{folder.parent.name}_{folder.name}")


def _read_table(file: Path) -> np.ndarray:
    lines = file.read_bytes().splitlines()
    for place, line in enumerate(lines):
        if _DAMAGE.search(line):
            lines[place] = line = _mended(line)
        if len(line.split()) not in (0, 6):
            raise UserError(f"Line {place + 1} of {file} is not x y z r g b: mend or copy it again.")
    try:
        return np.array(b" ".join(lines).split(), np.float64).reshape(-1, 6)
    except ValueError as error:
        raise UserError(f"{file} is not a table of x y z r g b ({error}): copy it again.") from error


def _mended(line: bytes) -> bytes:
    """A line with control characters, as the published files have: in place of a blank in Area_5/hallway_6, of a digit
    in Area_5/office_19."""
    spaced = _DAMAGE.sub(b" ", line)
    return spaced if len(spaced.split()) == 6 else _DAMAGE.sub(b"0", line)
