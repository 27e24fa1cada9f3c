"""From points to voxels and back: quantisation, the inverse map, per-voxel means."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Voxels:
    """The occupied voxels of one or several scenes.

    coords: (V, 4) int32, unique rows (batch, x, y, z) in voxel units, sorted.
    inverse: (N,) int64, the voxel of every point.
    counts: (V,) int64, points per voxel.
    """

    coords: Tensor
    inverse: Tensor
    counts: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """Average per-point values (N, C) into (V, C); dtype of `values`."""
        if len(self.inverse) == len(self.coords):
            return values.index_select(0, self._only_points)
        total = values.new_zeros((len(self.coords), values.shape[1])).index_add_(0, self.inverse, values)
        return total / self.counts.to(values.dtype).unsqueeze(1)

    @cached_property
    def _only_points(self) -> Tensor:
        """(V,) the point of every voxel, where each has one."""
        return torch.argsort(self.inverse)


def voxelize(points: Tensor, voxel_size: float, batch: Tensor | None = None) -> Voxels:
    """Quantise points (N, 3) in metres to voxels of `voxel_size` metres: floor(p / size), negatives too.

    batch: (N,) integer scene of each point, default all 0. Raises ValueError where a coordinate is not finite
    or lies more than 2^30 voxels from the origin.
    """
    scaled = torch.floor(points.to(torch.float64 if points.device.type != "mps" else torch.float32) / voxel_size)
    if len(scaled) and not bool(torch.isfinite(scaled).all() & (scaled.abs() < 2**30).all()):
        raise ValueError("points must be finite and within 2^30 voxels of the origin")
    cells = scaled.to(torch.int64)
    if batch is None:
        batch = torch.zeros(len(cells), dtype=torch.int64, device=cells.device)
    rows = torch.cat([batch.to(torch.int64).unsqueeze(1), cells], 1)
    coords, inverse, counts = unique_rows(rows)
    return Voxels(coords.to(torch.int32), inverse, counts)


def unique_rows(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unique rows of an integer tensor (N, 4), sorted; also the inverse map (N,) and the counts.

    Rows become one int64 key each where their bounding box allows it: much faster than `unique(dim=0)`.
    """
    if not len(rows):
        empty = rows.new_zeros(0, dtype=torch.int64)
        return rows, empty, empty
    low, extent = bounding_box(rows)
    if key_space(extent) < 2**62:
        keys, inverse, counts = torch.unique(row_keys(rows, low, extent), return_inverse=True, return_counts=True)
        return rows_of_keys(keys, low, extent), inverse, counts
    return torch.unique(rows, dim=0, return_inverse=True, return_counts=True)


def bounding_box(rows: Tensor, margin: int = 0) -> tuple[Tensor, Tensor]:
    """Lowest corner and extent (both (4,) int64) of integer rows; `margin` widens x, y, z on each side."""
    low, high = rows.amin(0).to(torch.int64), rows.amax(0).to(torch.int64)
    grow = torch.tensor([0, margin, margin, margin], device=rows.device)
    low = low - grow
    return low, high + grow - low + 1


def key_space(extent: Tensor) -> float:
    """Number of cells of a bounding box, as a float so that huge boxes do not overflow."""
    return float(torch.prod(extent.double() if extent.device.type != "mps" else extent.float()))


def row_keys(rows: Tensor, low: Tensor, extent: Tensor) -> Tensor:
    """Flat int64 index of each row in the box (low, extent); order of keys = lexicographic order of rows."""
    r = rows.to(torch.int64) - low
    return ((r[:, 0] * extent[1] + r[:, 1]) * extent[2] + r[:, 2]) * extent[3] + r[:, 3]


def rows_of_keys(keys: Tensor, low: Tensor, extent: Tensor) -> Tensor:
    """Inverse of `row_keys`."""
    columns = []
    for size in (extent[3], extent[2], extent[1]):
        columns.append(keys % size)
        keys = torch.div(keys, size, rounding_mode="floor")
    return torch.stack([keys, columns[2], columns[1], columns[0]], 1) + low
