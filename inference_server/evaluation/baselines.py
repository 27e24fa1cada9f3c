"""What a user would do without a network: region growing and a graph cut, both from the same clicks.

Both have the Predictor's interface (`set_scene`, `predict`) and work on the voxel graph of the scan; their
constants were chosen once on training rooms and hold for every scan.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from inference_server.minimum_cut import CERTAIN, CutGraph
from inference_server.predictor import Prediction
from inference_server.wire.protocol import Click

from .voxel_graph import VoxelGraph, build_graph


class Baseline(ABC):
    """A method on the voxel graph: subclasses say which voxels belong to the object."""

    def set_scene(self, positions: np.ndarray, colors: np.ndarray | None, voxel_size: float) -> None:
        """Build the graph of positions (N, 3) in metres and colours (N, 3) uint8 or None."""
        self._graph = build_graph(positions, colors, voxel_size)

    def predict(self, clicks: Sequence[Click]) -> Prediction:
        """The object's mask from its clicks; clicked vertices are obeyed, the later click winning."""
        graph = self._graph
        mask = self._voxels(graph, graph.seeds(clicks, True), graph.seeds(clicks, False))[graph.voxel_of]
        for click in clicks:
            if click.vertex >= 0:
                mask[click.vertex] = click.positive
        return Prediction(mask, mask.astype(np.uint8) * np.uint8(255))

    @abstractmethod
    def _voxels(self, graph: VoxelGraph, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        """(V,) bool: the object's voxels; positive and negative are seed voxels."""


class RegionGrowing(Baseline):
    """Seeds grow over smooth steps: neighbours whose colours and normals differ little.

    A voxel belongs to the object if a positive seed reaches it, and no negative seed does on a shorter way.
    """

    COLOR_STEP = 0.09
    BEND = 0.2

    def _voxels(self, graph: VoxelGraph, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        smooth = (graph.color_steps < self.COLOR_STEP) & (graph.bends < self.BEND)
        cost = 0.1 + graph.color_steps / self.COLOR_STEP + graph.bends / self.BEND
        first, second = graph.pairs[smooth].T
        size = len(graph.centroids)
        edges = csr_array((cost[smooth], (first, second)), shape=(size, size))
        ours, theirs = (
            dijkstra(edges, directed=False, indices=seeds, min_only=True) if len(seeds) else np.full(size, np.inf)
            for seeds in (positive, negative)
        )
        return np.isfinite(ours) & (ours < theirs)


class GraphCut(Baseline):
    """Minimum cut between positive and negative seeds, as in Golovinskiy and Funkhouser, "Min-cut based
    segmentation of point clouds" (2009).

    Without seeds of the background everything would be object; so a prior leans to the object near positive
    seeds, to the background beyond RADIUS_IN_VOXELS, or as far as positive seeds lie apart, and to whatever seed is
    nearer where there are both.
    """

    RADIUS_IN_VOXELS = 8
    PRIOR = 0.05
    COLOR_SCALE = 0.07
    BEND_SCALE = 0.1

    def _voxels(self, graph: VoxelGraph, positive: np.ndarray, negative: np.ndarray) -> np.ndarray:
        size = len(graph.centroids)
        if not len(positive):
            return np.zeros(size, bool)
        cost = np.exp(-((graph.color_steps / self.COLOR_SCALE) ** 2) - graph.bends / self.BEND_SCALE)
        near = _distance(graph, positive)
        apart = float(np.ptp(graph.centroids[positive], axis=0).max())
        away = near / max(self.RADIUS_IN_VOXELS * graph.voxel_size, apart)
        if len(negative):
            away = np.maximum(away, 2 * near / (near + _distance(graph, negative) + 1e-9))
        leaning = self.PRIOR * (1 - np.minimum(away, 2))
        leaning[positive], leaning[negative] = CERTAIN, -CERTAIN
        return CutGraph(graph.pairs, cost, size).minimum_cut(leaning)


def _distance(graph: VoxelGraph, seeds: np.ndarray) -> np.ndarray:
    steps = graph.centroids[:, None] - graph.centroids[seeds]
    return np.sqrt((steps**2).sum(2)).min(1)
