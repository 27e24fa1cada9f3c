"""The furniture catalogue: models of the Debian package `sweethome3d-furniture`, with their licences and splits.

A library is an `.sh3f` file: a zip with `PluginFurnitureCatalog.properties` (keys such as `width#12`, in
centimetres) and one OBJ model per entry. Each model belongs to exactly one split, chosen by a hash of its
geometry file, so that the same mesh under two names can never be in two splits.
"""

import hashlib
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inference_server.errors import UserError

DEFAULT_FOLDER = Path("/usr/share/sweethome3d/furniture")
PROPERTIES = "PluginFurnitureCatalog.properties"
SPLITS = ("train", "validation", "test")
VALIDATION_SHARE, TEST_SHARE = 0.08, 0.12

LICENCES = {
    "BlendSwap-CC-0": ("CC0-1.0", "Blend Swap contributors, Emmanuel Puybaret"),
    "BlendSwap-CC-BY": ("CC-BY-3.0", "Blend Swap contributors"),
    "KatorLegaz": ("CC-BY-3.0-US", "Andrew Kator & Jennifer Legaz"),
    "Reallusion": ("CC-BY-3.0-US", "Reallusion, http://www.reallusion.com/"),
    "Scopia": ("CC-BY-3.0", "Scopia Visual Interfaces Systems, http://www.scopia.es"),
}
"""Library -> (SPDX licence of every model in it, author where a model names none)."""

OWN_LICENCES = {
    "BlendSwap-CC-0/winchesterArmchair": "CC-BY-3.0",
    "BlendSwap-CC-0/winchesterSofa": "CC-BY-3.0",
    "BlendSwap-CC-BY/wire-coathanger": "CC0-1.0",
}
"""Models whose own licence file says otherwise than their library: of 284 such files, these three."""


@dataclass(frozen=True)
class Model:
    """One furniture model. `size` is width, depth, height in metres; `row` its place in the surface cache."""

    key: str
    """`library/id`, unique in the catalogue."""
    library: str
    name: str
    category: str
    size: tuple[float, float, float]
    elevation: float
    """Height above the floor at which the model is meant to hang or stand, metres."""
    door_or_window: bool
    licence: str
    author: str
    identity: str
    """SHA-256 of the OBJ file."""
    split: str
    row: int = -1


@dataclass
class Catalogue:
    """Models with their surfaces. `surfaces` is an opened `surfaces.SurfaceCache`."""

    models: list[Model]
    surfaces: object
    _by_role: dict = field(default_factory=dict)

    def role(self, role: str, split: str) -> list[Model]:
        """Models of a layout role (see `roles.py`) in a split; every split has its own models."""
        from .roles import roles_of

        if not self._by_role:
            table = defaultdict(list)
            for model in self.models:
                for name in roles_of(model):
                    table[name, model.split].append(model)
            self._by_role.update(table)
        return self._by_role.get((role, split), [])


def split_of(identity: str) -> str:
    """Split of a model from the hexadecimal hash of its geometry: 80 % train, 8 % validation, 12 % test."""
    fraction = int(identity[:12], 16) / 16**12
    if fraction < TEST_SHARE:
        return "test"
    return "validation" if fraction < TEST_SHARE + VALIDATION_SHARE else "train"


def parse_properties(text: str) -> list[dict[str, str]]:
    """Entries of a furniture catalogue in file order, each a dictionary of its keys without `#n`."""
    entries: dict[int, dict[str, str]] = defaultdict(dict)
    for line in text.splitlines():
        match = re.match(r"\s*(\w+)#(\d+)\s*=\s*(.*?)\s*$", line)
        if match:
            unescaped = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), match[3])
            entries[int(match[2])][match[1]] = unescaped
    return [entries[number] for number in sorted(entries)]


def model_rotation(entry: dict[str, str]) -> np.ndarray:
    """The 3x3 `modelRotation` of an entry (identity where it has none), float64."""
    text = entry.get("modelRotation")
    return np.array(text.split(), dtype=float).reshape(3, 3) if text else np.eye(3)


def licence_of(library: str, key: str) -> str:
    """SPDX licence of a model: its own licence file's where that differs, else its library's."""
    return OWN_LICENCES.get(key) or LICENCES.get(library, ("unknown", "unknown"))[0]


def read_library(path: Path) -> list[tuple[Model, dict[str, str]]]:
    """All entries of one `.sh3f` file as (model, raw entry). Raises UserError if it is no such file."""
    library = path.stem
    _, default_author = LICENCES.get(library, ("unknown", "unknown"))
    try:
        with zipfile.ZipFile(path) as archive:
            entries = parse_properties(archive.read(PROPERTIES).decode("latin-1"))
            out = []
            for entry in entries:
                identity = hashlib.sha256(archive.read(entry["model"].lstrip("/"))).hexdigest()
                key = f"{library}/{Path(entry['model']).stem}"
                creator = entry.get("creator", "")
                author = creator if creator and creator != "Blend Swap" else default_author
                size = tuple(float(entry[side]) / 100 for side in ("width", "depth", "height"))
                model = Model(
                    key=key,
                    library=library,
                    name=entry["name"],
                    category=entry["category"],
                    size=size,
                    elevation=float(entry.get("elevation", 0)) / 100,
                    door_or_window=entry.get("doorOrWindow") == "true",
                    licence=licence_of(library, key),
                    author=author,
                    identity=identity,
                    split=split_of(identity),
                )
                out.append((model, entry))
            return out
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not a readable furniture library (.sh3f): {error}.") from error


def library_files(folder: Path = DEFAULT_FOLDER) -> list[Path]:
    """The `.sh3f` files of a folder, sorted. Raises UserError with the remedy where there are none."""
    files = sorted(Path(folder).glob("*.sh3f"))
    if not files:
        raise UserError(
            f"No furniture libraries (*.sh3f) in {folder}: install the Debian package "
            "sweethome3d-furniture, or give the folder that holds its files."
        )
    return files


def load_catalogue(folder: Path = DEFAULT_FOLDER, workers: int = 2, progress: bool = True) -> Catalogue:
    """Catalogue with its surface cache; the first call samples every model (about a minute)."""
    from .surfaces import open_cache

    files = library_files(folder)
    cache, models = open_cache(files, workers=workers, progress=progress)
    return Catalogue(models=models, surfaces=cache)
