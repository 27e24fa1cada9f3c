"""Fewer vertices: one for each cell of a grid."""

import numpy as np

from inference_server.errors import UserError

from .scans import Labels, Scan

SMALLEST_CELL = 1e-6
"""Metres: float32 tells nothing finer apart in a scan."""
MOST_CELLS = 2**62
"""What int64 can count, in a row and in the grid."""


def thin(scan: Scan, cell: float) -> Scan:
    """The scan with at most one of its vertices in each cube of `cell` metres, the first one of the file.

    Vertices keep position, colour and labels, so nothing is mixed; names and colours of objects stay. Faces go.
    Raises UserError where there are more cells than can be counted.
    """
    low, high = scan.positions.min(0).astype(np.float64), scan.positions.max(0)
    if ((high - low) / cell).max() > MOST_CELLS:
        raise UserError(
            f"{scan.name} is too wide to be thinned to {cell:g} m: delete stray vertices or give larger cells."
        )
    kept = np.sort(np.unique(_keys(np.floor((scan.positions - low) / cell).astype(np.int64)), return_index=True)[1])
    part = Scan(scan.positions[kept], names=scan.names, name=scan.name, offset=scan.offset, palette=scan.palette)
    for key in ("colors", "instance", "semantic"):
        values = getattr(scan, key)
        setattr(part, key, None if values is None else values[kept])
    part.overlaps = _overlaps(scan.labels, kept)
    return part


def _keys(cells: np.ndarray) -> np.ndarray:
    """A number (N,) for each cell (N, 3): its place in the grid; where that is too large, in what occurs of it."""
    keys = cells[:, 0]
    for column in (cells[:, 1], cells[:, 2]):
        if (int(keys.max()) + 1) * (int(column.max()) + 1) > MOST_CELLS:
            keys, column = (np.unique(values, return_inverse=True)[1] for values in (keys, column))
        keys = keys * (column.max() + 1) + column
    return keys


def _overlaps(labels: Labels, kept: np.ndarray) -> np.ndarray | None:
    if labels.overlaps is None:
        return None
    place = np.searchsorted(kept, labels.overlaps[:, 0])
    here = kept[np.minimum(place, len(kept) - 1)] == labels.overlaps[:, 0]
    return np.stack([place[here], labels.overlaps[here, 1]], 1)
