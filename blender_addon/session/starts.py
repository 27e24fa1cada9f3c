"""Objects that started from a mask made elsewhere: what the network is told of it, and what of its answer counts.

Clicks correct such a mask: where no click speaks it stays as it was. The network is given a few places within it as
clicks, and its answer differs from the mask in pieces; a piece counts where a click of that sign is on it.
"""

from dataclasses import replace

import numpy as np

from ..scan import vertex_set
from ..scan.neighbours import Neighbours
from ..scan.scan import Scan
from .pins import pins_of
from .state import ObjectState

SEEDS = 4
SAMPLE = 2000
ROUNDS = 8
REACH = 2
"""Steps from a click to the piece that it is about: the artist clicks beside it as often as on it."""


def members(known: ObjectState, count: int) -> np.ndarray:
    """bool (count,): the mask that the object started from; empty where it started with a click."""
    inside = np.zeros(count, dtype=bool)
    for start in known.starts:
        if start.vertices == count:
            inside[vertex_set.unpack(start.members)] = True
    return inside


def clicks_only(known: ObjectState) -> ObjectState:
    """The object as if nothing had been done by hand."""
    return replace(known, actions=known.presses)


def seeds(known: ObjectState, positions: np.ndarray) -> np.ndarray:
    """Vertices well inside the started mask, int64 (K <= SEEDS,), that are sent as clicks before the artist's own.

    They are the vertices nearest to the middles of the mask's parts (k-means of Lloyd, 1982), the same at any time.

    Args:
        positions: float (N, 3); vertices without a position are passed over.
    """
    inside = np.flatnonzero(members(known, len(positions)))
    inside = inside[np.isfinite(positions[inside]).all(axis=1)]
    if not inside.size:
        return inside
    sample = inside[:: max(1, len(inside) // SAMPLE)]
    cloud = positions[sample].astype(np.float64)
    middles = cloud[vertex_set.spread(cloud, SEEDS)]
    for _ in range(ROUNDS):
        nearest = np.argmin(((cloud[:, None] - middles) ** 2).sum(axis=2), axis=1)
        parts = [cloud[nearest == part] for part in range(len(middles))]
        middles = np.array([part.mean(axis=0) for part in parts if len(part)])
    return np.unique([sample[((cloud - middle) ** 2).sum(axis=1).argmin()] for middle in middles])


def corrected(known: ObjectState, predicted: np.ndarray, neighbours: Neighbours, scan: Scan) -> np.ndarray:
    """The mask that the object started from, with those pieces of the network's corrections that a click asked for.

    A negative click takes away only what is nearer to it than to the seeds and the positive clicks: else doubts of
    the network far off would go with it.

    Args:
        predicted: bool (N,).
    """
    base = members(known, len(predicted))
    clicked = pins_of(clicks_only(known), len(predicted))
    result = base.copy()
    gained = _asked_for(predicted & ~base, clicked > 0, neighbours)
    lost = _asked_for(base & ~predicted, clicked < 0, neighbours)
    result[gained] = True
    positive, negative = [], []
    for press in known.presses:
        places = [place for place, _ in press.places(scan.count, scan.raw.__getitem__)]
        (positive if press.positive else negative).extend(places)
    kept_by = [*positive, *scan.raw[seeds(known, scan.raw)].tolist()]
    vertices = np.flatnonzero(lost)
    nearer = _distance(scan, vertices, negative) < _distance(scan, vertices, kept_by)
    result[vertices[nearer]] = False
    return result


def _asked_for(differs: np.ndarray, said: np.ndarray, neighbours: Neighbours) -> np.ndarray:
    """bool (N,): the pieces of `differs` that are within reach of the clicks `said`."""
    if not said.any() or not differs.any():
        return np.zeros(len(differs), dtype=bool)
    for _ in range(REACH):
        said = neighbours.grow(said)
    pieces = neighbours.pieces(differs)
    return differs & np.isin(pieces, np.unique(pieces[said & differs]))


def _distance(scan: Scan, vertices: np.ndarray, places: list[tuple[float, float, float]]) -> np.ndarray:
    """Metres (squared) from each vertex to the nearest of `places`, in the mesh's coordinates; infinite without."""
    nearest = np.full(len(vertices), np.inf)
    for place in places:
        away = (scan.raw[vertices] - np.asarray(place)) @ scan.to_world.T
        nearest = np.minimum(nearest, (away**2).sum(axis=1))
    return nearest
