"""Simulated scans for training: rooms furnished from freely licensed models, seen by a virtual depth camera."""

from collections.abc import Iterator

from inference_server.data.scans import Scan

from .catalogue import Catalogue, load_catalogue
from .closeups import generate_object, generate_tabletop
from .rooms import GENERATOR_VERSION, generate_room
from .street import generate_street

KINDS = {"room": generate_room, "tabletop": generate_tabletop, "object": generate_object, "street": generate_street}
"""Kind of scan -> function (catalogue, split, seed) -> Scan."""

__all__ = [
    "GENERATOR_VERSION",
    "KINDS",
    "Catalogue",
    "generate",
    "generate_object",
    "generate_room",
    "generate_street",
    "generate_tabletop",
    "iterate",
    "load_catalogue",
]


def generate(kind: str, catalogue: Catalogue, split: str, seed: int) -> Scan:
    """A simulated scan of a kind (see KINDS)."""
    return KINDS[kind](catalogue, split, seed)


def iterate(kind: str, catalogue: Catalogue, split: str, first_seed: int = 0) -> Iterator[Scan]:
    """Endless scans of a kind, one per seed from `first_seed` upwards."""
    seed = first_seed
    while True:
        yield generate(kind, catalogue, split, seed)
        seed += 1
