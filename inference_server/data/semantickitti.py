"""SemanticKITTI in its original layout: `sequences/08/velodyne/000000.bin` and `labels/000000.label`."""

from pathlib import Path

import numpy as np

from inference_server.errors import UserError

from .scans import RawScan, Scan, build_scan

CLASSES = {
    0: "unlabeled", 1: "outlier", 10: "car", 11: "bicycle", 13: "bus", 15: "motorcycle", 16: "on-rails",
    18: "truck", 20: "other-vehicle", 30: "person", 31: "bicyclist", 32: "motorcyclist", 40: "road",
    44: "parking", 48: "sidewalk", 49: "other-ground", 50: "building", 51: "fence", 52: "other-structure",
    60: "lane-marking", 70: "vegetation", 71: "trunk", 72: "terrain", 80: "pole", 81: "traffic-sign",
    99: "other-object", 252: "car", 253: "bicyclist", 254: "person", 255: "motorcyclist", 256: "on-rails",
    257: "bus", 258: "truck", 259: "other-vehicle",
}  # fmt: skip
"""Label numbers of the data set; moving classes (252 and up) carry the name of the thing that moves."""


def find(path: Path) -> list[Path]:
    """Scans (.bin) with labels of the whole set, its sequences, or one sequence; sorted; [] if it is none."""
    for pattern in ("dataset/sequences/*", "sequences/*", "*", "."):
        scans = [
            scan
            for sequence in sorted(path.glob(pattern) if pattern != "." else [path])
            for scan in sorted(sequence.glob("velodyne/*.bin"))
            if label_file(scan).exists()
        ]
        if scans:
            return scans
    return []


def label_file(scan: Path) -> Path:
    """Where the labels of a .bin belong."""
    return scan.parent.parent / "labels" / f"{scan.stem}.label"


def read(path: Path) -> Scan:
    """One sweep, without colours. Instances are the things (points with an instance number > 0), renumbered.

    Raises UserError if bin and label file disagree or are cut off.
    """
    points = _read_array(path, np.dtype("<f4"), 4)
    labels = _read_array(label_file(path), np.dtype("<u4"), 1)[:, 0]
    if len(points) != len(labels):
        raise UserError(f"{path.name} has {len(points)} points and {len(labels)} labels: copy both again.")
    semantic = (labels & 0xFFFF).astype(np.int32)
    things, instance = np.unique(labels, return_inverse=True)
    is_thing = (things >> 16) > 0
    numbers = np.where(is_thing, np.cumsum(is_thing) - 1, -1)
    names = {
        int(numbers[i]): CLASSES.get(int(things[i] & 0xFFFF), f"class {things[i] & 0xFFFF}")
        for i in np.flatnonzero(is_thing)
    }
    raw = RawScan(points[:, :3], None, numbers[instance.reshape(-1)], semantic, names)
    return build_scan(raw, f"{path.parent.parent.name}_{path.stem}")


def _read_array(path: Path, dtype: np.dtype, columns: int) -> np.ndarray:
    if not path.exists():
        raise UserError(f"There is no {path}.")
    if path.stat().st_size % (dtype.itemsize * columns):
        raise UserError(f"{path} is cut off: its size is no multiple of {dtype.itemsize * columns} bytes.")
    return np.fromfile(path, dtype).reshape(-1, columns)
