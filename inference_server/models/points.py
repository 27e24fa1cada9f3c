"""The points a network sees, with room for what it derives from them once (voxels, kernel maps, trees)."""

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

TRAINED_VOXEL = 0.05
"""Metres: the width of voxels at the scale that networks are trained at."""

_AT_ONCE = 256
"""Places whose distances from all others are in memory together."""


class Points:
    """Positions of one region, or of several in a batch.

    xyz: (N, 3) float, metres at the scale the network was trained at, relative to the region's origin.
    batch: (N,) int64 scene of each point, or None for a single one.
    """

    def __init__(self, xyz: Tensor, batch: Tensor | None = None):
        self.xyz, self.batch = xyz, batch
        self._prepared: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.xyz)

    def prepared(self, key: Hashable, prepare: Callable[["Points"], Any]) -> Any:
        """What `prepare` made of these points the first time `key` was asked for."""
        if key not in self._prepared:
            self._prepared[key] = prepare(self)
        return self._prepared[key]


def nearest(a: Tensor, b: Tensor) -> Tensor:
    """(K,) int64: which of the places b (V, 3) is nearest to each of a (K, 3).

    Not by |a|^2 + |b|^2 - 2ab, as torch likes to: far from the origin that is centimetres off in float32.
    """
    exact = "donot_use_mm_for_euclid_dist"
    return torch.cat([torch.cdist(part, b, compute_mode=exact).argmin(1) for part in a.split(_AT_ONCE)])
