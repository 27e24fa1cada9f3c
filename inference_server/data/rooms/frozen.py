"""The frozen test set: 20 rooms of the test split that no later change of the simulator alters.

`testset-generator.zip` holds the generator's own source as it was when the set was frozen, and is imported from
there; `testset.json` holds the seeds, the SHA-256 of every room (positions in whole millimetres) and, because
floating-point arithmetic differs in the last bit between processors, the vertices of every instance too.
"""

import hashlib
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np

from inference_server.data.scans import Scan
from inference_server.errors import UserError

FOLDER = Path(__file__).parent
RECORD, GENERATOR = FOLDER / "testset.json", FOLDER / "testset-generator.zip"
PACKAGE = "frozen_rooms"
TOLERANCE = 0.03
"""Share by which an instance's vertices may differ where the arithmetic is another (see `verify`)."""


def digest(scan: Scan) -> str:
    """SHA-256 of positions in whole millimetres, colours and instances."""
    code = hashlib.sha256(np.round(scan.positions.astype(np.float64) * 1000).astype("<i4").tobytes())
    code.update(scan.colors.tobytes())
    code.update(scan.instance.astype("<i4").tobytes())
    return code.hexdigest()


def verify(scan: Scan, entry: dict) -> bool:
    """True where the room is bit for bit the frozen one, False where it is the same room under another
    processor's rounding: the same objects, each with nearly as many vertices. Raises UserError otherwise."""
    counts = np.bincount(scan.instance[scan.instance >= 0])
    frozen = np.array([count for _, count in entry["instances"]])
    same = [scan.names[k] for k in range(len(counts))] == [name for name, _ in entry["instances"]]
    if same and digest(scan) == entry["sha256"]:
        return True
    if same and (np.abs(counts - frozen) <= np.maximum(TOLERANCE * frozen, 15)).all():
        return False
    raise UserError(
        f"Room {entry['name']} of the frozen test set came out differently here: install the numpy and scipy "
        "versions of pyproject.toml and the package sweethome3d-furniture as documented, then run it again."
    )


def load_generator() -> tuple[ModuleType, ModuleType, dict]:
    """The frozen generator's `rooms` and `catalogue` modules and the record, checked against the recorded SHA-256."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    if hashlib.sha256(GENERATOR.read_bytes()).hexdigest() != record["generator_sha256"]:
        raise UserError(f"{GENERATOR.name} is not the file of the frozen test set: restore it from the repository.")
    if str(GENERATOR) not in sys.path:
        sys.path.append(str(GENERATOR))
    return importlib.import_module(f"{PACKAGE}.rooms"), importlib.import_module(f"{PACKAGE}.catalogue"), record


def generate_frozen(entry: dict, furniture: Path) -> tuple[Scan, bool]:
    """One room of the frozen test set by its entry, and whether it matches bit for bit."""
    rooms, catalogue, record = load_generator()
    global _catalogue
    if _catalogue is None:
        _catalogue = catalogue.load_catalogue(furniture, progress=False)
    scan = rooms.generate_room(_catalogue, record["split"], entry["seed"])
    return scan, verify(scan, entry)


_catalogue = None
