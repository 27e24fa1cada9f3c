"""Kernel maps: which voxel lies under which kernel offset, found once per set of coordinates and kept.

Offsets are in MinkowskiEngine's order: the first coordinate axis runs fastest; odd kernels are centred,
even ones reach from 0 to k - 1.
"""

import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .voxels import bounding_box, key_space, row_keys, unique_rows

TABLE_CELLS = 2**25
"""Largest bounding box looked up in a dense int32 table (128 MiB); beyond it, sorted keys are searched."""


class KernelMap:
    """For every output voxel and kernel offset the input voxel, or `inputs` (one past the last) for none."""

    def __init__(self, table: Tensor, inputs: int):
        self.table = table
        self.inputs = inputs
        self._prepared: dict[Hashable, Any] = {}

    def prepared(self, key: Hashable, prepare: Callable[["KernelMap"], Any]) -> Any:
        """What `prepare` made of this map the first time `key` was asked for."""
        if key not in self._prepared:
            self._prepared[key] = prepare(self)
        return self._prepared[key]


@dataclass(frozen=True)
class Coarsening:
    """How a grid maps to the one of twice its stride.

    children: kernel map (Vc, 8) from coarse voxels to fine ones; parent, slot: (V,) int64 coarse voxel of each
    fine one and its place among the eight.
    """

    grid: "Grid"
    children: KernelMap
    parent: Tensor
    slot: Tensor


class Grid:
    """Occupied voxels at one stride, with their kernel maps and coarser grids, each made on first use.

    coords: (V, 4) int32 unique rows (batch, x, y, z) in units of this grid's own stride.
    Rows with like neighbourhoods stand together, so that a run of rows shares its empty kernel offsets:
    on scans this halves the work of a 3x3x3 convolution. `order` tells where each given row went.
    """

    def __init__(self, coords: Tensor, stride: int = 1, finer: "Grid | None" = None):
        self.stride = stride
        # weak, so that grids form no cycle and their tables are freed at once
        self._finer = weakref.ref(finer) if finer is not None else None
        table = neighbour_table(coords, 3)
        self.order = _group_by_neighbourhood(table, len(coords))
        """(V,) int64: row i of this grid is row order[i] of the coordinates given."""
        self.coords = coords[self.order]
        self._maps = {3: KernelMap(_reorder(table, self.order), len(coords))}

    def __len__(self) -> int:
        return len(self.coords)

    @property
    def finer(self) -> "Grid":
        """The grid of half the stride that this one was made from; LookupError if there is none any more."""
        finer = self._finer() if self._finer else None
        if finer is None:
            raise LookupError("this grid was not made from a finer one, or the finer one is gone")
        return finer

    def neighbours(self, kernel_size: int) -> KernelMap:
        """The kernel map of an odd, centred kernel onto the grid itself."""
        if kernel_size not in self._maps:
            self._maps[kernel_size] = KernelMap(neighbour_table(self.coords, kernel_size), len(self))
        return self._maps[kernel_size]

    @cached_property
    def coarser(self) -> Coarsening:
        """The grid of twice the stride, floor(coords / 2), and the maps between the two."""
        halved = self.coords.to(torch.int64)
        halved[:, 1:] = torch.div(halved[:, 1:], 2, rounding_mode="floor")
        coords, parent, _ = unique_rows(halved)
        grid = Grid(coords.to(torch.int32), self.stride * 2, finer=self)
        rank = torch.empty_like(grid.order)
        rank[grid.order] = torch.arange(len(grid), device=rank.device)
        parent = rank[parent]
        odd = self.coords[:, 1:].to(torch.int64) & 1
        slot = odd[:, 0] + 2 * odd[:, 1] + 4 * odd[:, 2]
        children = torch.full((len(grid), 8), len(self), dtype=torch.int32, device=parent.device)
        children[parent, slot] = torch.arange(len(self), dtype=torch.int32, device=parent.device)
        return Coarsening(grid, KernelMap(children, len(self)), parent, slot)


def kernel_offsets(kernel_size: int, device: torch.device | str = "cpu") -> Tensor:
    """(k^3, 3) int64 offsets (x, y, z) of an odd, centred kernel, x fastest."""
    line = torch.arange(kernel_size, device=device) - kernel_size // 2
    z, y, x = torch.meshgrid(line, line, line, indexing="ij")
    return torch.stack([x.reshape(-1), y.reshape(-1), z.reshape(-1)], 1)


def neighbour_table(coords: Tensor, kernel_size: int) -> Tensor:
    """(V, k^3) int32: the row at each offset from each voxel, V where there is none. coords: (V, 4), unique."""
    count, radius = len(coords), kernel_size // 2
    offsets = kernel_offsets(kernel_size, coords.device)
    if not count:
        return torch.zeros((0, len(offsets)), dtype=torch.int32, device=coords.device)
    low, extent = bounding_box(coords, radius)
    if key_space(extent) >= 2**62:
        raise ValueError("the voxels span too large a space for 64-bit keys; use larger voxels or split the scan")
    keys = row_keys(coords, low, extent)
    # inside a box widened by the kernel's radius, an offset is a constant step of the key
    steps = (offsets[:, 0] * extent[2] + offsets[:, 1]) * extent[3] + offsets[:, 2]
    rows = torch.arange(count, dtype=torch.int32, device=coords.device)
    if key_space(extent) <= TABLE_CELLS:
        table = torch.full((int(key_space(extent)),), count, dtype=torch.int32, device=coords.device)
        table[keys] = rows
        wanted = keys.to(torch.int32).unsqueeze(1) + steps.to(torch.int32)
        return table.index_select(0, wanted.view(-1)).view(count, -1)
    wanted = keys.unsqueeze(1) + steps
    sorted_keys, by_key = torch.sort(keys)
    place = torch.searchsorted(sorted_keys, wanted).clamp_(max=count - 1)
    found = sorted_keys[place] == wanted
    return torch.where(found, rows[by_key][place], count)


def _group_by_neighbourhood(table: Tensor, count: int) -> Tensor:
    """Stable order of rows by their set of present neighbours, the rarest offsets deciding first."""
    if not count:
        return torch.zeros(0, dtype=torch.int64, device=table.device)
    present = (table < count).to(torch.int32)
    rarity = torch.argsort(torch.argsort(present.float().sum(0)))
    weights = (1 << (len(rarity) - 1 - rarity)).to(torch.int32)
    return torch.argsort((present * weights).sum(1, dtype=torch.int32), stable=True)


def _reorder(table: Tensor, order: Tensor) -> Tensor:
    """The table for rows taken in `order`: rows move, and so do the row numbers inside."""
    rank = torch.empty(len(order) + 1, dtype=torch.int32, device=table.device)
    rank[order] = torch.arange(len(order), dtype=torch.int32, device=table.device)
    rank[-1] = len(order)
    return rank.index_select(0, table.index_select(0, order).view(-1)).view(table.shape)
