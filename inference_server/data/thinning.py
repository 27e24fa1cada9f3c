"""Fewer vertices: one for each cell of a grid."""

import numpy as np

from .scans import Labels, Scan


def thin(scan: Scan, cell: float) -> Scan:
    """The scan with at most one of its vertices in each cube of `cell` metres, the first one of the file.

    Vertices keep position, colour and labels, so nothing is mixed; names and colours of objects stay. Faces go.
    """
    low = scan.positions.min(0).astype(np.float64)
    cells = np.floor((scan.positions - low) / cell).astype(np.int64)
    sides = cells.max(0) + 1
    keys = (cells[:, 0] * sides[1] + cells[:, 1]) * sides[2] + cells[:, 2]
    kept = np.sort(np.unique(keys, return_index=True)[1])
    part = Scan(scan.positions[kept], names=scan.names, name=scan.name, offset=scan.offset, palette=scan.palette)
    for key in ("colors", "instance", "semantic"):
        values = getattr(scan, key)
        setattr(part, key, None if values is None else values[kept])
    part.overlaps = _overlaps(scan.labels, kept)
    return part


def _overlaps(labels: Labels, kept: np.ndarray) -> np.ndarray | None:
    if labels.overlaps is None:
        return None
    place = np.searchsorted(kept, labels.overlaps[:, 0])
    here = kept[np.minimum(place, len(kept) - 1)] == labels.overlaps[:, 0]
    return np.stack([place[here], labels.overlaps[here, 1]], 1)
