"""The graph that the baselines work on: voxels with mean colours and normals, joined if adjacent."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

NORMAL_NEIGHBOURS = 12


@dataclass
class VoxelGraph:
    """Occupied voxels of a scan and the pairs of them that touch (faces, edges, corners).

    centroids: (V, 3) float64 metres, mean of each voxel's points; colors: (V, 3) float64 in [0, 1] or None;
    voxel_of: (N,) the voxel of each point; pairs: (E, 2) int32 voxel indices, each pair once.
    """

    centroids: np.ndarray
    colors: np.ndarray | None
    voxel_of: np.ndarray
    pairs: np.ndarray
    voxel_size: float

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals (V, 3), signs arbitrary: smallest principal axis of the nearest centroids."""
        count = min(NORMAL_NEIGHBOURS, len(self.centroids))
        _, nearest = cKDTree(self.centroids).query(self.centroids, k=count)
        around = self.centroids[nearest.reshape(len(self.centroids), count)]
        around = around - around.mean(1, keepdims=True)
        _, axes = np.linalg.eigh(np.einsum("vki,vkj->vij", around, around))
        return axes[:, :, 0]

    @cached_property
    def color_steps(self) -> np.ndarray:
        """Euclidean colour distance (E,) of each pair, 0 where the scan has no colours."""
        if self.colors is None:
            return np.zeros(len(self.pairs))
        first, second = self.pairs.T
        return np.linalg.norm(self.colors[first] - self.colors[second], axis=1)

    @cached_property
    def bends(self) -> np.ndarray:
        """1 - abs(cosine) (E,) of the normals of each pair: 0 flat, 1 at a right angle."""
        first, second = self.pairs.T
        cosine = np.einsum("ei,ei->e", self.normals[first], self.normals[second])
        return 1 - np.minimum(np.abs(cosine), 1)

    def seeds(self, clicks: list, positive: bool) -> np.ndarray:
        """Voxels (S,) of the clicks of one sign; of clicks that share a voxel the last one counts."""
        last = {}
        for click in clicks:
            voxel = (
                self.voxel_of[click.vertex]
                if click.vertex >= 0
                else np.argmin(((self.centroids - click.position) ** 2).sum(1))
            )
            last[int(voxel)] = click.positive
        return np.array([voxel for voxel, sign in last.items() if sign == positive], np.int64)


def build_graph(positions: np.ndarray, colors: np.ndarray | None, voxel_size: float) -> VoxelGraph:
    """Graph of positions (N, 3) in metres and colours (N, 3) uint8 or None."""
    cells = np.floor((positions - positions.min(0).astype(np.float64)) / voxel_size).astype(np.int64) + 1
    span = cells.max(0) + 2
    keys = (cells[:, 0] * span[1] + cells[:, 1]) * span[2] + cells[:, 2]
    unique, voxel_of, counts = np.unique(keys, return_inverse=True, return_counts=True)

    def mean(values: np.ndarray) -> np.ndarray:
        sums = [np.bincount(voxel_of, values[:, i], len(unique)) for i in range(3)]
        return np.stack(sums, 1) / counts[:, None]

    steps = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if (x, y, z) > (0, 0, 0)]
    pairs = []
    for x, y, z in steps:
        wanted = unique + (x * span[1] + y) * span[2] + z
        place = np.minimum(np.searchsorted(unique, wanted), len(unique) - 1)
        found = np.flatnonzero(unique[place] == wanted)
        pairs.append(np.stack([found, place[found]], 1))
    return VoxelGraph(
        centroids=mean(positions.astype(np.float64)),
        colors=None if colors is None else mean(colors / 255.0),
        voxel_of=voxel_of,
        pairs=np.concatenate(pairs).astype(np.int32),
        voxel_size=voxel_size,
    )
