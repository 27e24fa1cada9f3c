"""Which vertex the eye sees under the cursor. No Blender objects in here: matrices and arrays only.

On clouds without faces the vertices are projected once per view; a move of the mouse then looks only at what is near.
"""

from dataclasses import dataclass

import numpy as np

PICK_RADIUS = 14.0  # pixels around the cursor
SAME_SURFACE = 0.04
"""Points this much farther than the nearest one are the same surface: a share of its distance from the eye, or of the
width of an orthographic view, which has no eye."""
BLOCK = 262_144  # points that are looked at in one go: they fit into the processor's cache
CELL = 16  # pixels; cells of the screen that projected points are sorted into


@dataclass(frozen=True)
class View:
    """What decides where a vertex is on the screen.

    matrix: float64 (4, 4), coordinates of the mesh -> clip space. size: of the region in pixels. planes: float64
    (P, 4) in coordinates of the mesh; a vertex behind one of them is clipped away.
    """

    matrix: np.ndarray
    size: tuple[int, int]
    planes: np.ndarray

    def ray(self, x: float, y: float) -> tuple[np.ndarray, np.ndarray] | None:
        """Where the line through a pixel begins, float64 (3,), and its unit direction (3,), in the mesh's coordinates;
        None where there is no such line, as in an object without width."""
        across = [2 * x / self.size[0] - 1, 2 * y / self.size[1] - 1]
        try:
            ends = np.linalg.solve(self.matrix, np.array([[*across, -1.0, 1.0], [*across, 1.0, 1.0]]).T)
        except np.linalg.LinAlgError:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            begin, end = (ends[:3] / ends[3]).T
            direction = (end - begin) / np.linalg.norm(end - begin)
        return (begin, direction) if np.isfinite([begin, direction]).all() else None

    @property
    def orthographic(self) -> bool:
        return not self.matrix[3, :3].any()

    @property
    def width(self) -> float:
        """What an orthographic view shows from left to right, in units of the mesh."""
        return float(2 / np.linalg.norm(self.matrix[0, :3]))

    def same_as(self, other: "View | None") -> bool:
        return (
            other is not None
            and self.size == other.size
            and np.array_equal(self.matrix, other.matrix)
            and np.array_equal(self.planes, other.planes)
        )


class Projection:
    """Vertices of a cloud on the screen, sorted by cells."""

    def __init__(self, axes: np.ndarray, view: View, hidden: np.ndarray | None = None):
        """axes: float32 (3, N), the mesh's own coordinates by axis: whole rows are several times faster to go over;
        hidden: bool (N,), what is not to be seen.
        """
        self.view = view
        width, height = view.size
        matrix = view.matrix.astype(np.float32)
        columns = -(-width // CELL)
        x, y, w = (_along(axes, matrix[row]) for row in (0, 1, 3))
        with np.errstate(divide="ignore", invalid="ignore"):
            np.divide(x, w, out=x)
            np.divide(y, w, out=y)
            x += 1
            x *= width / 2
            y += 1
            y *= height / 2
            seen = (w > 0) & (x >= 0) & (x < width) & (y >= 0) & (y < height)
        for plane in view.planes.astype(np.float32):
            seen &= _along(axes, plane) > 0
        if hidden is not None:
            seen &= ~hidden
        vertices = np.flatnonzero(seen)
        x, y = x[vertices], y[vertices]
        cells = (y.astype(np.int32) // CELL) * columns + x.astype(np.int32) // CELL
        rows = -(-height // CELL)
        # numpy sorts 16-bit integers by radix, several times faster than wider ones
        order = np.argsort(cells.astype(np.uint16) if columns * rows < 65536 else cells, kind="stable")
        self._columns, self._rows = columns, rows
        if view.orthographic:
            forward = matrix[2] / np.linalg.norm(matrix[2, :3])
            depth = _along(axes, forward)
        else:
            depth = w
        self._x, self._y, self._depth = x[order], y[order], depth[vertices][order]
        self._vertices = vertices[order]
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(cells, minlength=columns * rows))])

    def pick(self, x: float, y: float, drawn_radius: float, radius: float = PICK_RADIUS) -> int:
        """The vertex seen at a place of the region (pixels), -1 for none near.

        What is drawn right under the cursor wins, the frontmost of it; else the nearest vertex on the screen, of those
        on the frontmost surface around the cursor.
        """
        near = self._near(x, y, radius)
        if not near.size:
            return -1
        away = np.hypot(self._x[near] - x, self._y[near] - y)
        near, away = near[away <= radius], away[away <= radius]
        if not near.size:
            return -1
        depth = self._depth[near]
        covered = away <= drawn_radius
        if covered.any():
            return int(self._vertices[near[covered][np.argmin(depth[covered])]])
        nearest = depth.min()
        front = depth <= nearest + SAME_SURFACE * (self.view.width if self.view.orthographic else nearest)
        return int(self._vertices[near[front][np.argmin(away[front])]])

    def _near(self, x: float, y: float, radius: float) -> np.ndarray:
        first, last = max(0, int((x - radius) // CELL)), min(self._columns - 1, int((x + radius) // CELL))
        if first > last:
            return np.empty(0, dtype=np.int64)
        parts = []
        for row in range(max(0, int((y - radius) // CELL)), min(self._rows - 1, int((y + radius) // CELL)) + 1):
            start, end = self._starts[row * self._columns + first], self._starts[row * self._columns + last + 1]
            parts.append(np.arange(start, end))
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def near(positions: np.ndarray, view: View, x: float, y: float, radius: float = PICK_RADIUS) -> np.ndarray:
    """Indices of the positions (N, 3) within `radius` pixels of a place of the region, on each axis: all that `pick`
    can choose from, for a single pick in a scan too large to be sorted."""
    width, height = view.size
    matrix = view.matrix.astype(np.float32)
    found = []
    for start in range(0, len(positions), BLOCK):
        axes = np.ascontiguousarray(positions[start : start + BLOCK].T)
        across, up, w = (_along(axes, matrix[row]) for row in (0, 1, 3))
        # multiplied by w instead of divided, which is slower and has to be watched
        across -= w * np.float32(2 * x / width - 1)
        up -= w * np.float32(2 * y / height - 1)
        close = np.abs(across) <= w * np.float32(2 * radius / width)
        close &= np.abs(up) <= w * np.float32(2 * radius / height)
        found.append(np.flatnonzero(close & (w > 0)) + start)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _along(axes: np.ndarray, row: np.ndarray) -> np.ndarray:
    """A row of a matrix applied to all points: float32 (N,)."""
    result = axes[0] * row[0]
    result += axes[1] * row[1]
    result += axes[2] * row[2]
    result += row[3]
    return result
