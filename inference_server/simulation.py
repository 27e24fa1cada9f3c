"""Simulated artists: the evaluation's clicks on the deepest error, the paper's first clicks of training.

The evaluation's rule is that of InterObject3D's released code: missed points (false negatives) and wrong
points (false positives) apart, each error point's distance to the nearest point that is not such an error;
the point that lies deepest is the next click. It is exact here and quick on large scans: a grid bounds every
cell's distance from both sides, and only points in cells that can hold the maximum are compared one by one.
"""

import numpy as np
from scipy.spatial import cKDTree

from inference_server.wire.protocol import Click

POINTS_PER_CELL = 12
"""Aimed-at points per grid cell: fewer bound the distances closer, more make the grid smaller."""


class ClickSimulator:
    """Finds the next click on one scan, for any object and any prediction.

    positions: (N, 3) in metres. The grid is built once; each click then costs some milliseconds.
    """

    def __init__(self, positions: np.ndarray) -> None:
        self._positions = np.ascontiguousarray(positions, np.float64)
        self._edge, cells, self._cell_of = _grid(self._positions)
        self._centres = (cells + 0.5) * self._edge + self._positions.min(0)
        self._points_in = np.bincount(self._cell_of, minlength=len(cells))
        self._members = np.argsort(self._cell_of, kind="stable")
        self._first = np.concatenate([[0], np.cumsum(self._points_in)])

    def next_click(self, truth: np.ndarray, prediction: np.ndarray) -> Click | None:
        """The click that a user would give next, or None where the prediction has no error.

        truth, prediction: (N,) bool. Positive if the deepest missed point lies at least as deep as the
        deepest wrong one.
        """
        missed, missed_depth = self.deepest(truth & ~prediction)
        wrong, wrong_depth = self.deepest(prediction & ~truth)
        if missed < 0 and wrong < 0:
            return None
        positive = missed_depth >= wrong_depth
        vertex = missed if positive else wrong
        return Click(tuple(float(x) for x in self._positions[vertex]), positive, int(vertex))

    def deepest(self, error: np.ndarray) -> tuple[int, float]:
        """The error point farthest from every other point, and that distance in metres.

        error: (N,) bool. (-1, -1.0) where there is no error; where everything is one, the point nearest to
        the middle and infinity. Of equally deep points the first.
        """
        vertices = np.flatnonzero(error)
        if not len(vertices):
            return -1, -1.0
        if len(vertices) == len(error):
            middle = self._positions.mean(0)
            return int(np.argmin(((self._positions - middle) ** 2).sum(1))), np.inf
        wrong_in = np.bincount(self._cell_of[vertices], minlength=len(self._points_in))
        error_cells = np.flatnonzero(wrong_in)
        right_cells = np.flatnonzero(wrong_in < self._points_in)
        # Two points lie within one cell diagonal of the distance of their cells' centres.
        diagonal = np.sqrt(3) * self._edge
        right_tree = cKDTree(self._centres[right_cells], balanced_tree=False, compact_nodes=False)
        distance, _ = right_tree.query(self._centres[error_cells])
        hopeful = distance >= distance.max() - 2 * diagonal
        candidates = self._points_of(error_cells[hopeful])
        candidates = candidates[error[candidates]]
        reach = distance.max() + 2 * diagonal
        hopeful_tree = cKDTree(self._centres[error_cells[hopeful]], balanced_tree=False, compact_nodes=False)
        away, _ = hopeful_tree.query(self._centres[right_cells], distance_upper_bound=reach * (1 + 1e-9))
        others = self._points_of(right_cells[np.isfinite(away)])
        others = others[~error[others]]
        tree = cKDTree(self._positions[others], balanced_tree=False, compact_nodes=False)
        depth, _ = tree.query(self._positions[candidates])
        best = candidates[depth == depth.max()].min()
        return int(best), float(depth.max())

    def _points_of(self, cells: np.ndarray) -> np.ndarray:
        counts = self._points_in[cells]
        starts = np.repeat(self._first[cells] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        return self._members[starts + np.arange(counts.sum())]


def _grid(positions: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Cell edge in metres, occupied cells (C, 3) int64 and the cell of each point (N,)."""
    shifted = positions - positions.min(0)
    extent = float(shifted.max())
    if extent == 0:
        return 1.0, np.zeros((1, 3), np.int64), np.zeros(len(positions), np.int64)
    edge = 2 * extent / np.sqrt(len(positions) / POINTS_PER_CELL)
    cells, cell_of = _cells(shifted, edge)
    for _ in range(2):  # scans are surfaces: the number of cells goes with 1 / edge^2
        edge = max(edge * np.sqrt(len(cells) * POINTS_PER_CELL / len(positions)), extent / 2**18)
        cells, cell_of = _cells(shifted, edge)
    return edge, cells, cell_of


def _cells(shifted: np.ndarray, edge: float) -> tuple[np.ndarray, np.ndarray]:
    rows = np.floor(shifted / edge).astype(np.int64)
    span = rows.max(0) + 1
    keys = (rows[:, 0] * span[1] + rows[:, 1]) * span[2] + rows[:, 2]
    unique, cell_of = np.unique(keys, return_inverse=True)
    cells = np.stack([unique // (span[1] * span[2]), unique // span[2] % span[1], unique % span[2]], 1)
    return cells, cell_of


def initial_clicks(
    positions: np.ndarray,
    truth: np.ndarray,
    rng: np.random.Generator,
    positives: int,
    negatives: int,
    growth: float = 1.4,
) -> list[Click]:
    """First clicks for training as in the paper (section III): positives, then negatives, at random.

    Positives are uniform on the object's points, negatives uniform on other points within the object's
    bounding box grown by a factor drawn from 1 to `growth`. positions (N, 3) in metres, truth (N,) bool.
    Fewer come where there are fewer points.
    """
    inside = np.flatnonzero(truth)
    if not len(inside):
        raise ValueError("an object needs at least one point to be clicked")
    low, high = positions[inside].min(0), positions[inside].max(0)
    reach = (high - low) / 2 * rng.uniform(1, growth)
    around = (np.abs(positions - (low + high) / 2) <= reach).all(1) & ~truth
    return [
        Click(tuple(float(x) for x in positions[vertex]), label, int(vertex))
        for pool, count, label in ((inside, positives, True), (np.flatnonzero(around), negatives, False))
        for vertex in rng.choice(pool, min(count, len(pool)), replace=False)
    ]
