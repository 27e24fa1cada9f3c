"""The three directions of a room: floor, ceiling and walls, and most furniture, stand at right angles."""

import numpy as np

CELL = 0.2
"""Edge in metres of the cubes in which surfaces are looked at."""
FEWEST_POINTS, FEWEST_CELLS = 8, 50
FLAT, LINE = 0.05, 0.2
"""Flat is a cube whose least variance is so small beside the middle one, and this one so large beside the greatest."""
ALIKE = np.radians(6)
"""Largest angle between directions that are one."""
SHARE = 0.75
"""Share of the flat cubes that must face one of the three directions."""
_TRIES = 400


def room_axes(positions: np.ndarray) -> np.ndarray | None:
    """Unit vectors (3, 3) float64, one a row, at right angles, that most flat surfaces of a scan face; None where there
    are none. Their order and signs mean nothing. positions: (N, 3) float metres."""
    normals = _normals(positions)
    if len(normals) < FEWEST_CELLS:
        return None
    first = _most_faced(normals)
    across = normals[np.abs(normals @ first) < np.sin(ALIKE)]
    if not len(across):
        return None
    second = _most_faced(across)
    second -= first * (first @ second)
    second /= np.linalg.norm(second)
    axes = np.stack([first, second, np.cross(first, second)])
    facing = (np.abs(normals @ axes.T).max(axis=1) > np.cos(ALIKE)).mean()
    return axes if facing > SHARE else None


def _normals(positions: np.ndarray) -> np.ndarray:
    """Normals (M, 3) of the cubes that hold a flat piece of surface."""
    cube = np.floor((positions - positions.min(axis=0)) / CELL).astype(np.int64)
    _, cube, counts = np.unique(cube, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(cube.reshape(-1), kind="stable")
    starts = np.append(0, np.cumsum(counts)[:-1])
    points = positions[order].astype(np.float64)
    means = np.add.reduceat(points, starts) / counts[:, None]
    offsets = points - np.repeat(means, counts, axis=0)
    products = (offsets[:, :, None] * offsets[:, None, :]).reshape(-1, 9)
    variances = np.add.reduceat(products, starts).reshape(-1, 3, 3)[counts >= FEWEST_POINTS]
    sizes, directions = np.linalg.eigh(variances)
    flat = (sizes[:, 0] < FLAT * sizes[:, 1]) & (sizes[:, 1] > LINE * sizes[:, 2])
    return directions[flat, :, 0]


def _most_faced(normals: np.ndarray) -> np.ndarray:
    """The direction that most normals are alike to, whatever their sign."""
    tried = normals[:: max(1, len(normals) // _TRIES)]
    best = tried[(np.abs(tried @ normals.T) > np.cos(ALIKE)).sum(axis=1).argmax()]
    for _ in range(3):  # the mean of those that are alike, which then are others
        side = normals @ best
        best = normals[np.abs(side) > np.cos(ALIKE)].T @ np.sign(side[np.abs(side) > np.cos(ALIKE)])
        best /= np.linalg.norm(best)
    return best
