"""The faces of a mesh, for rays to hit. One tree of a large mesh would keep the window waiting for seconds, so there
are many small ones, made one after the other."""

from dataclasses import dataclass

import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

from ..scan.scan import finite_rows

PART = 50_000  # triangles in a tree: some 50 ms


@dataclass(frozen=True)
class Hit:
    """A place on a triangle with a unit normal; corners: int32 (3,) its vertices."""

    place: Vector
    normal: Vector
    corners: np.ndarray


class Surface:
    """Triangles int32 (T, 3) of positions float32 (N, 3); those with a corner that is no number are never hit."""

    def __init__(self, positions: np.ndarray, triangles: np.ndarray):
        finite = finite_rows(positions)
        self._positions = positions
        self._triangles = triangles if finite.all() else triangles[finite[triangles].all(axis=1)]
        self._numbers = np.empty(len(positions), dtype=np.int32)
        self._trees: list[BVHTree] = []
        corners = positions[self._triangles.ravel()] if len(self._triangles) else np.zeros((1, 3), np.float32)
        low, high = corners.min(axis=0).astype(np.float64), corners.max(axis=0).astype(np.float64)
        self._middle, self._reach = (low + high) / 2, float(np.linalg.norm(high - low))

    def ray_from_near(self, start: np.ndarray, direction: np.ndarray) -> tuple[Vector, Vector]:
        """The same ray, float64 (3,) and a unit vector (3,), begun in front of the surface: trees are in single
        precision, and a view's near end may be kilometres away."""
        ahead = float((self._middle - start) @ direction) - self._reach
        return Vector(start + max(ahead, 0.0) * direction), Vector(direction)

    @property
    def whole(self) -> bool:
        """Whether all of it can be hit."""
        return len(self._trees) * PART >= len(self._triangles)

    def grow(self) -> None:
        """Make one part more, of those that are missing."""
        start = len(self._trees) * PART
        triangles = self._triangles[start : start + PART]
        used = np.zeros(len(self._positions), dtype=bool)
        used[triangles] = True
        vertices = np.flatnonzero(used)
        self._numbers[vertices] = np.arange(len(vertices), dtype=np.int32)
        corners = self._positions[vertices].tolist()
        self._trees.append(BVHTree.FromPolygons(corners, self._numbers[triangles].tolist(), all_triangles=True))

    def hit(self, start: Vector, ray: Vector) -> Hit | None:
        """What of the surface comes first from `start` along `ray`."""
        hits = ((part, *tree.ray_cast(start, ray)) for part, tree in enumerate(self._trees))
        nearest = min((hit for hit in hits if hit[1] is not None), key=lambda hit: hit[4], default=None)
        if nearest is None:
            return None
        part, place, normal, triangle, _ = nearest
        return Hit(place, normal, self._triangles[part * PART + triangle])
