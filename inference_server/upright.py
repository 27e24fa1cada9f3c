"""Which way is up in a scan. Networks are trained on scans whose z axis points up; many a scan comes otherwise.

RGB-D reconstructions often have the first camera's axes (y or z downwards, or slanting), files of other programs y
upwards, photogrammetry any.
"""

import numpy as np
from scipy import ndimage

from .room_axes import room_axes

SAMPLE = 60_000
CUBE = 0.2
"""Metres: what stands on a floor or hangs from a ceiling is counted in cubes of this size."""
STOREY = (1.8, 6.0)
"""Heights in metres of what may be a room."""
FEWEST, OUTNUMBERED = 30, 2.5
"""How many cubes of things, and how many times as many in the lower half as in the upper, say where the floor is."""
LONG, THIN = 15, 4
"""Cubes: what is longer than the first and not wider than the second, on average, may be a beam or a duct."""
COVERED = 0.35
"""Share of the rectangle around a room that has a floor, at the least."""

WIDER, WIDE = 1.0, 3.5
"""A room measures so many heights of it from wall to wall at the least, and so many metres one way."""

_PART = 1_000_000
"""Points that are turned together, so that nothing of a scan's whole size is made."""
STRAIGHT, SLANTING = np.radians(4), np.radians(30)
"""Angles: up to the first a scan stands straight; up to the second it is set straight, whatever stands in it."""

AS_IT_IS = np.eye(3, dtype=np.float32)
_Z_DOWN = np.diag([1, -1, -1]).astype(np.float32)


def to_upright(positions: np.ndarray) -> np.ndarray:
    """The rotation, (3, 3) float32, by which a scan stands upright: turned = positions @ rotation.T.

    As it is, unless it looks for certain like a room that is overturned, lies on a side or slants. Where an axis of the
    scan is an axis of the room, or nearly, the rotation is of 0, 1 and -1. positions: (N, 3) float metres, finite.
    """
    sample = positions[:: max(1, len(positions) // SAMPLE)].astype(np.float64)
    sample = (sample - sample[0]).astype(np.float32)  # survey coordinates have no centimetres in float32
    axes = room_axes(sample)
    ways = _ways(np.eye(3) if axes is None else axes)
    rotations = [_bringing_up(way[2]) for way in ways]
    straight = rotations[0] is AS_IT_IS
    first = _Sight(sample, ways[0])
    if straight and first.things_stand_below():
        return AS_IT_IS
    others = [_Sight(sample, way) for way in ways[1:]]
    sights = zip(rotations, (first, *others), strict=True)
    rooms = [rotation for rotation, sight in sights if sight.is_wide() and sight.things_stand_below()]
    if len(rooms) == 1:
        return rooms[0]
    slants = rotations[0][2, 2] > np.cos(SLANTING) and first.is_high()
    return rotations[0] if slants else AS_IT_IS


class Turned:
    """Positions (N, 3) as they are after a rotation: rows are turned when they are asked for."""

    def __init__(self, positions: np.ndarray, rotation: np.ndarray):
        self._positions, self._rotation = positions, rotation
        self.shape, self.dtype = positions.shape, positions.dtype

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        # no matrix product: its last digits hang on which rows are turned together
        x, y, z = self._positions[rows].T
        return np.stack([x * a + y * b + z * c for a, b, c in self._rotation], axis=1)

    def corners(self) -> np.ndarray:
        """The least and the greatest coordinates, (2, 3) float64."""
        parts = (self[start : start + _PART] for start in range(0, len(self), _PART))
        lows, highs = zip(*((part.min(axis=0), part.max(axis=0)) for part in parts), strict=True)
        return np.stack([np.min(lows, axis=0), np.max(highs, axis=0)]).astype(np.float64)


def _ways(axes: np.ndarray) -> list[np.ndarray]:
    """The six ways, (3, 3) each, to see a scan along its axes: the last row is up, the one that was most so first.

    Half of them are mirror images; which way it turns does not matter for what is looked for.
    """
    ups = [np.roll(axes, 2 - which, axis=0) for which in range(3)]
    ways = [*ups, *(way * [[1], [1], [-1]] for way in ups)]
    return sorted(ways, key=lambda way: -way[2, 2])


def _bringing_up(up: np.ndarray) -> np.ndarray:
    """The least rotation that brings a unit vector up (Rodrigues' formula); nearly an axis counts as one."""
    axis = np.abs(up).argmax()
    if np.abs(up[axis]) > np.cos(STRAIGHT):
        up = np.sign(up[axis]) * np.eye(3)[axis]
    if up[2] == 1:
        return AS_IT_IS
    if up[2] == -1:
        return _Z_DOWN
    x, y, z = up
    cross = np.array([[0, 0, -x], [0, 0, -y], [x, y, 0]])
    return (np.eye(3) + cross + cross @ cross / (1 + z)).astype(np.float32)


class _Sight:
    """A scan as it is seen one way; way: (3, 3), the last row is up."""

    def __init__(self, sample: np.ndarray, way: np.ndarray):
        self._points = sample @ way.astype(np.float32).T
        # without the outermost 0.5 % on each side
        self._low, high = np.percentile(self._points, [0.5, 99.5], axis=0)
        self._size = high - self._low

    def is_high(self) -> bool:
        """As high as rooms are."""
        return bool(STOREY[0] < self._size[2] < STOREY[1])

    def is_wide(self) -> bool:
        """As wide as rooms are: unlike most pieces of rooms, and rooms that lie on a side."""
        x, y, height = self._size
        return bool(min(x, y) > WIDER * height and max(x, y) > WIDE)

    def things_stand_below(self) -> bool:
        """Whether there is a floor below, and much more stands on it than hangs from above: neither wall, floor nor
        ceiling."""
        if not self.is_high():
            return False
        height = self._size[2]
        cubes = np.unique(np.floor((self._points - self._low) / CUBE).astype(np.int64), axis=0)
        _, column, filled = np.unique(cubes[:, :2], axis=0, return_inverse=True, return_counts=True)
        column, above = column.reshape(-1), (cubes[:, 2] + 0.5) * CUBE
        margin = 1.5 * CUBE
        floor = np.unique(column[np.abs(above) < margin])
        thing = (filled[column] < 0.5 * height / CUBE) & (above > CUBE) & (above < height - CUBE)
        half = above < height / 2
        lower, upper = thing & half, thing & ~half
        lower, upper = _standing(cubes[lower], above[lower]), _standing(cubes[upper], height - above[upper])
        return bool(
            lower >= FEWEST and lower > OUTNUMBERED * upper and len(floor) * CUBE**2 > COVERED * np.prod(self._size[:2])
        )


def _standing(cubes: np.ndarray, above: np.ndarray) -> int:
    """How many cubes (M, 3), so many metres above a floor, are of things that stand on it."""
    if not len(cubes):
        return 0
    at = tuple((cubes - cubes.min(axis=0)).T)
    grid = np.zeros(np.max(at, axis=1) + 1, bool)
    grid[at] = True
    things, count = ndimage.label(grid, np.ones((3, 3, 3)))
    thing, number = things[at], np.arange(1, count + 1)
    stands = ndimage.minimum(above, thing, number) < 2 * CUBE
    columns = np.unique(np.stack([thing, *at[:2]]), axis=1)[0]
    length = np.array([max(x.stop - x.start, y.stop - y.start) for x, y, _ in ndimage.find_objects(things)])
    may_hang = (length > LONG) & (np.bincount(columns)[1:] <= THIN * length)
    return int(np.isin(thing, number[stands & ~may_hang]).sum())
