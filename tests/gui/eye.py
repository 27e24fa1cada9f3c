"""What the scripted artist sees: which vertex lies in front at each place of the viewport, and where to click."""

import bpy
import numpy as np

CELL = 5  # pixels; about the size of a point as it is drawn
HAND = 9  # cells that an object must be wide somewhere, for the artist to aim at it
THICKNESS = 0.06  # metres behind the foremost vertex that still count as seen


class Eye:
    """The viewport of now. cells: (H, W) the foremost vertex of each square of CELL pixels, -1 for none."""

    def __init__(self, stage, positions: np.ndarray):
        area, region = stage.view
        matrix = np.array(area.spaces.active.region_3d.perspective_matrix)
        clip = np.c_[positions, np.ones(len(positions))] @ matrix.T
        flat = (clip[:, :2] / clip[:, 3:] * 0.5 + 0.5) * (region.width, region.height)
        view = np.array(area.spaces.active.region_3d.view_matrix)
        depth = -(positions @ view[2, :3] + view[2, 3])
        inside = (clip[:, 3] > 0) & (flat > 0).all(1) & (flat < (region.width, region.height)).all(1)
        rows = np.flatnonzero(inside)
        place = (flat[rows] // CELL).astype(int)
        self.shape = region.height // CELL + 1, region.width // CELL + 1
        key = place[:, 1] * self.shape[1] + place[:, 0]
        order = np.lexsort((depth[rows], key))
        first = np.unique(key[order], return_index=True)
        cells = np.full(self.shape[0] * self.shape[1], -1)
        cells[first[0]] = rows[order][first[1]]
        self.cells = self._without_gaps(cells.reshape(self.shape), depth)
        self.flat = flat
        self.corner = region.x, region.y
        free = np.ones(self.shape, bool)
        for other in area.regions:  # toolbar, sidebar and headers lie over the view
            if other != region and other.width > 1 and other.height > 1 and other.type != "WINDOW":
                x, y = (other.x - region.x) // CELL, (other.y - region.y) // CELL
                free[max(0, y - 1) : y + other.height // CELL + 2, max(0, x - 1) : x + other.width // CELL + 2] = False
        self.free = free

    @staticmethod
    def _without_gaps(cells: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Vertices seen through gaps between nearer ones, which are drawn wider than a cell, are not seen."""
        far = np.where(cells < 0, np.inf, depth[cells])
        nearest = far.copy()
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                nearest = np.minimum(nearest, np.roll(far, (dy, dx), (0, 1)))
        return np.where(far > nearest + THICKNESS * 4, -1, cells)

    def area_of(self, wanted: np.ndarray) -> int:
        """Cells in which a vertex of the set (N,) bool is foremost and free to click."""
        return int(self._seen(wanted).sum())

    def aim(self, wanted: np.ndarray) -> tuple[float, float, int] | None:
        """Where to click to hit the set in its widest place: window x, y and how many cells it is deep there."""
        left, depth = self._seen(wanted), 0
        if not left.any():
            return None
        while True:
            shrunk = left.copy()
            for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
                shrunk &= np.roll(left, (dy, dx), (0, 1))
            if not shrunk.any():
                break
            left, depth = shrunk, depth + 1
        places = np.argwhere(left)
        middle = places[np.abs(places - places.mean(0)).sum(1).argmin()]
        x, y = self.flat[self.cells[tuple(middle)]]
        return self.corner[0] + x, self.corner[1] + y, depth

    def _seen(self, wanted: np.ndarray) -> np.ndarray:
        return (self.cells >= 0) & wanted[self.cells] & self.free


def positions_of(obj: bpy.types.Object) -> np.ndarray:
    """World positions (N, 3) float64 of an object's vertices."""
    local = np.empty(len(obj.data.vertices) * 3, np.float32)
    obj.data.attributes["position"].data.foreach_get("vector", local)
    matrix = np.array(obj.matrix_world)
    return local.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
