"""Points in the order of the voxels that they are in, tile by tile."""

import numpy as np

from .errors import UserError
from .upright import Turned

TILE = 16
"""Edge of a tile in voxels, in x and y; regions are made of whole tiles with all that lies above and below."""
_TILE_BITS = TILE.bit_length() - 1
_MAX_CELLS = 2**62
_PART = 1_000_000
"""Points that are looked at together while a scan is sorted, so that nothing of its whole size is made in between."""


class VoxelKeys:
    """One number for each voxel of a scan, in the order of tiles and then of voxels inside a tile."""

    def __init__(self, origin: np.ndarray, high: np.ndarray, voxel_size: float):
        self._origin, self._voxel_size = origin, voxel_size
        extent = cells_of((high - origin).astype(np.float32), voxel_size).astype(np.int64) + 1
        tiles = -(-extent[:2] // TILE)
        self._tiles, self._height = int(tiles[1]), int(extent[2])
        self._count = int(tiles[0]) * int(tiles[1]) * TILE * TILE * self._height
        if self._count >= _MAX_CELLS:
            raise UserError("The scan is too large for this voxel size; choose larger voxels or check its units.")

    def sort(self, positions: np.ndarray | Turned) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stable order of the points, (V + 1,) where each voxel begins in it, and the voxels' keys."""
        points = len(positions)
        bits = points.bit_length()
        packed = self._count.bit_length() + bits < 64
        keys = np.empty(points, np.int64)
        for start in range(0, points, _PART):
            part = self._of(positions[start : start + _PART])
            keys[start : start + _PART] = part << bits | np.arange(start, start + len(part)) if packed else part
        order = np.empty(points, np.int32 if points < 2**31 else np.int64)
        if packed:
            # key and index in one number: sorted in place, several times faster than argsort
            keys.sort()
            np.bitwise_and(keys, (1 << bits) - 1, out=order, casting="unsafe")
            keys >>= bits
        else:
            order[:] = np.argsort(keys, kind="stable")
            keys = keys[order]
        starts = np.append(_changes(keys), points).astype(order.dtype)
        return order, starts, keys[starts[:-1]]

    def tiles(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tile coordinates (T, 2) int32 of sorted voxels, whose keys are used up; (T + 1,) where each tile begins."""
        keys //= TILE * TILE * self._height
        first = _changes(keys)
        tile = keys[first]
        coordinates = np.stack([tile // self._tiles, tile % self._tiles], 1).astype(np.int32)
        return coordinates, np.append(first, len(keys))

    def _of(self, positions: np.ndarray) -> np.ndarray:
        x, y, z = cells_of((positions - self._origin).astype(np.float32), self._voxel_size).astype(np.int64).T
        # no coordinate is negative, and a tile is 2^4 voxels wide
        key = (x >> _TILE_BITS) * self._tiles + (y >> _TILE_BITS)
        key = key << 2 * _TILE_BITS | (x & TILE - 1) << _TILE_BITS | y & TILE - 1
        return key * self._height + z


def cells_of(points: np.ndarray, voxel_size: float) -> np.ndarray:
    """Voxel coordinates int32 of float32 points from which the origin was taken off."""
    return np.floor(points / np.float32(voxel_size)).astype(np.int32)


def _changes(values: np.ndarray) -> np.ndarray:
    """Where each run of equal values begins."""
    new = np.empty(len(values), bool)
    new[0] = True
    np.not_equal(values[1:], values[:-1], out=new[1:])
    return np.flatnonzero(new)


def in_order(values: np.ndarray | Turned, order: np.ndarray, origin: np.ndarray | None = None) -> np.ndarray:
    """values[order] (N, 3), the origin taken off and in float32 where one is given."""
    out = np.empty(values.shape, values.dtype if origin is None else np.float32)
    for start in range(0, len(order), _PART):
        part = values[order[start : start + _PART]]
        out[start : start + _PART] = part if origin is None else part - origin
    return out
