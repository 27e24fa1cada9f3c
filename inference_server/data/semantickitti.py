"""SemanticKITTI in its original layout: `sequences/08/velodyne/000000.bin` and `labels/000000.label`."""

import json
import re
from pathlib import Path

import numpy as np

from inference_server.errors import UserError
from inference_server.files import replacing

from .scans import Labels, RawScan, Scan, build_scan

CLASSES = {
    0: "unlabeled", 1: "outlier", 10: "car", 11: "bicycle", 13: "bus", 15: "motorcycle", 16: "on-rails",
    18: "truck", 20: "other-vehicle", 30: "person", 31: "bicyclist", 32: "motorcyclist", 40: "road",
    44: "parking", 48: "sidewalk", 49: "other-ground", 50: "building", 51: "fence", 52: "other-structure",
    60: "lane-marking", 70: "vegetation", 71: "trunk", 72: "terrain", 80: "pole", 81: "traffic-sign",
    99: "other-object", 252: "car", 253: "bicyclist", 254: "person", 255: "motorcyclist", 256: "on-rails",
    257: "bus", 258: "truck", 259: "other-vehicle",
}  # fmt: skip
"""Label numbers of the data set; moving classes (252 and up) carry the name of the thing that moves."""

OTHER = 99
"""The label number of an object of no class."""


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
    labels = read_labels(label_file(path))
    if len(points) != len(labels.instance):
        raise UserError(f"{path.name} has {len(points)} points and {len(labels.instance)} labels: copy both again.")
    raw = RawScan(points[:, :3], None, labels.instance, labels.semantic, labels.names, palette=labels.palette)
    return build_scan(raw, f"{path.parent.parent.name}_{path.stem}")


def read_labels(path: Path) -> Labels:
    """A `.label` file: class in the lower 16 bits (semantic), number of the thing in the upper ones.

    Instances keep those numbers where they are different for all things; else, as in the data set itself,
    where only things of one class have different ones, they are counted from 0. Names are the classes', or
    those of the file `write_labels` leaves beside it. Raises UserError.
    """
    labels = _read_array(path, np.dtype("<u4"), 1)[:, 0]
    values, place = np.unique(labels, return_inverse=True)
    things = np.flatnonzero(values >> 16)
    numbers = np.full(len(values), -1, np.int64)
    upper = values[things] >> 16
    numbers[things] = upper if len(np.unique(upper)) == len(upper) else np.arange(len(things))
    names = {int(numbers[i]): CLASSES.get(int(values[i] & 0xFFFF), f"class {values[i] & 0xFFFF}") for i in things}
    found = Labels(numbers[place.reshape(-1)].astype(np.int32), (labels & 0xFFFF).astype(np.int32), names)
    beside = names_file(path)
    if beside.exists():
        try:
            found.names = {}
            for entry in json.loads(beside.read_text(encoding="utf-8"))["instances"]:
                found.names[int(entry["instance"])] = str(entry["name"])
                if "color" in entry:
                    found.palette[int(entry["instance"])] = tuple(int(c) for c in entry["color"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{beside} is damaged ({error!r}): delete or mend it.") from error
    return found


def names_file(path: Path) -> Path:
    """Where names and colours lie that a label file cannot hold."""
    return path.with_name(path.name + ".json")


def write_labels(path: Path, labels: Labels) -> None:
    """Write a `.label` file, and beside it names and colours by instance as JSON.

    The class of an object is the one it is called by ("car.001" is a car), else that of most of its points,
    else "other-object"; points of no object keep their class. Where an instance is 0 or beyond 65535,
    all are counted from 1. Raises UserError, also for a class beyond 65535.
    """
    if labels.semantic is not None and len(labels.semantic) and labels.semantic.max() > 0xFFFF:
        raise UserError(
            f"{path.name} can hold classes up to 65535, and there is {labels.semantic.max()}: choose PLY or npz."
        )
    identities = labels.identities()
    fits = all(0 < identity < 0x10000 for identity in identities)
    if not fits and len(identities) > 0xFFFF:
        raise UserError(f"{path.name} can hold 65535 objects, and there are {len(identities)}: choose PLY or npz.")
    instance = labels.instance
    classes = np.zeros(len(instance), np.uint32)
    if labels.semantic is not None:
        classes[:] = np.maximum(labels.semantic, 0)
    upper = np.zeros(len(instance), np.uint32)
    entries = []
    for count, identity in enumerate(identities, 1):
        inside = instance == identity
        name = labels.names.get(identity, "")
        number = identity if fits else count
        upper[inside], classes[inside] = number, _class_of(name, classes[inside])
        color = {"color": list(labels.palette[identity])} if identity in labels.palette else {}
        entries.append({"instance": number, "name": name or f"object {identity}", **color})
    with replacing(path) as temporary:
        temporary.write_bytes((upper << 16 | classes).astype("<u4"))  # numpy's tofile hides the system's reason
    with replacing(names_file(path)) as temporary:
        temporary.write_text(json.dumps({"instances": entries}, indent=1), encoding="utf-8")


def _class_of(name: str, classes: np.ndarray) -> int:
    stem = re.sub(r"\.\d{3}$", "", name)
    named = [number for number, known in CLASSES.items() if known == stem and number]
    counts = np.bincount(classes) if len(classes) else np.zeros(1, np.int64)
    most = int(counts.argmax())
    if most in named or (most and not named):
        return most
    return named[0] if named else OTHER


def _read_array(path: Path, dtype: np.dtype, columns: int) -> np.ndarray:
    if not path.exists():
        raise UserError(f"There is no {path}.")
    if path.stat().st_size % (dtype.itemsize * columns):
        raise UserError(f"{path} is cut off: its size is no multiple of {dtype.itemsize * columns} bytes.")
    return np.fromfile(path, dtype).reshape(-1, columns)
