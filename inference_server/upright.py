"""Which way is up in a scan. Networks are trained on scans whose z axis points up; many a scan comes otherwise.

RGB-D reconstructions often have the first camera's axes (y or z downwards), files of other programs y upwards.
"""

import numpy as np

SAMPLE = 100_000
CUBE = 0.2
"""Metres: what stands on a floor or hangs from a ceiling is counted in cubes of this size."""
STOREY = (1.8, 6.0)
"""Heights in metres of what may be a room."""
FEWEST, OUTNUMBERED = 30, 2.5
"""How many cubes of things, and how many times as many in the lower half as in the upper, say where the floor is."""
COVERED = 0.25
"""Share of a room's columns that have a floor, at the least."""

WIDER, WIDE = 1.1, 4.0
"""A room measures so many heights of it from wall to wall at the least, and so many metres one way."""

AS_IT_IS = np.eye(3, dtype=np.float32)
_Z_DOWN = np.diag([1, -1, -1]).astype(np.float32)
_X_UP = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], np.float32)
_Y_UP = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], np.float32)
_OTHERS = (_Z_DOWN, _Y_UP, _Z_DOWN @ _Y_UP, _X_UP, _Z_DOWN @ _X_UP)
"""Rotations that bring another axis, or the other end of this one, up."""


def to_upright(positions: np.ndarray) -> np.ndarray:
    """The rotation, (3, 3) float32 of 0, 1 and -1, by which a scan stands upright: turned = positions @ rotation.T.

    As it is, unless it looks for certain like a room that is overturned or lies on a side. positions: (N, 3) float
    metres, finite.
    """
    sample = positions[:: max(1, len(positions) // SAMPLE)].astype(np.float64)
    sample = (sample - sample[0]).astype(np.float32)  # survey coordinates have no centimetres in float32
    if _things_stand_below(sample):
        return AS_IT_IS
    turned = ((rotation, sample @ rotation.T) for rotation in _OTHERS)
    found = [rotation for rotation, points in turned if _is_as_wide_as_rooms(points) and _things_stand_below(points)]
    return found[0] if len(found) == 1 else AS_IT_IS


class Turned:
    """Positions (N, 3) as they are after a rotation: rows are turned when they are asked for."""

    def __init__(self, positions: np.ndarray, rotation: np.ndarray):
        self._positions, self._rotation = positions, rotation
        self.shape, self.dtype = positions.shape, positions.dtype

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        return self._positions[rows] @ self._rotation.T


def _is_as_wide_as_rooms(sample: np.ndarray) -> bool:
    """Unlike most pieces of rooms, and rooms that lie on a side."""
    x, y, height = np.subtract(*_box(sample)[::-1])
    return bool(min(x, y) > WIDER * height and max(x, y) > WIDE)


def _things_stand_below(sample: np.ndarray) -> bool:
    """Whether there is a floor below, and much more in the lower half that is neither wall, floor nor ceiling."""
    low, high = _box(sample)
    height = high[2] - low[2]
    if not STOREY[0] < height < STOREY[1]:
        return False
    cubes = np.unique(np.floor((sample - low) / CUBE).astype(np.int64), axis=0)
    _, column, filled = np.unique(cubes[:, :2], axis=0, return_inverse=True, return_counts=True)
    column, above = column.reshape(-1), (cubes[:, 2] + 0.5) * CUBE
    margin = 1.5 * CUBE
    floor = np.unique(column[np.abs(above) < margin])
    thing = (filled[column] < 0.4 * height / CUBE) & (above > margin) & (above < height - margin)
    lower, upper = (thing & (above < height / 2)).sum(), (thing & (above >= height / 2)).sum()
    return bool(lower >= FEWEST and lower > OUTNUMBERED * upper and len(floor) > COVERED * len(filled))


def _box(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners without the outermost 0.5 % on each side."""
    low, high = np.percentile(sample, [0.5, 99.5], axis=0)
    return low, high
