"""Neighbours of a scan's vertices, made once for each scan."""

import numpy as np

from ..scan.neighbours import CellNeighbours, FaceNeighbours, Neighbours
from ..scan.scan import Scan

POINTS_IN_CELL_SIDE = 1.5
KEPT = 2

_kept: list[tuple[Scan, float, Neighbours]] = []


def forget_all() -> None:
    _kept.clear()


def cell_size(scan: Scan, voxel_size: float) -> float:
    """Metres: half the working voxel, so that a border moves in steps finer than the network's; but no smaller than
    the points are apart."""
    return max(voxel_size / 2, POINTS_IN_CELL_SIDE * scan.proposal.spacing)


def known(scan: Scan, voxel_size: float) -> Neighbours | None:
    return next((n for s, size, n in _kept if s is scan and size == voxel_size), None)


def of(scan: Scan, voxel_size: float) -> Neighbours:
    """Neighbours of all vertices. It may run in a thread: nothing of Blender is touched.

    Args:
        voxel_size: metres, the one that the artist works with.
    """
    found = known(scan, voxel_size)
    if found is None:
        if scan.triangles is not None and len(scan.triangles):
            found = FaceNeighbours(scan.raw, scan.valid[scan.triangles])
        else:
            points = scan.raw.astype(np.float64) @ scan.to_world.T
            found = CellNeighbours(points, cell_size(scan, voxel_size))
        _kept.insert(0, (scan, voxel_size, found))
        del _kept[KEPT:]
    return found
