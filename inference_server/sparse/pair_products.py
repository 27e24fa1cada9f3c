"""Products of a sparse convolution over exactly the pairs of voxels that meet under the kernel, offset by offset.

On a scan's surfaces ten of 27 offsets meet a voxel. Where a small product costs little to start, as in float32 on a
CPU, nothing else need be multiplied; in bfloat16 that pays for wide kernels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from .kernel_maps import KernelMap
from .row_blocks import SMALLEST, row_blocks

ROWS = 2048
"""Output rows at a time: what they need stays in the cache (measured)."""
BFLOAT16_ROWS = 8192
"""The same in bfloat16, where a product costs more to start."""
BFLOAT16_KERNEL, BFLOAT16_WORK = 8192, 2**24
"""Numbers in an offset's kernel, and these times output rows, from which on pairs are quicker in bfloat16."""


@dataclass(frozen=True)
class Pairs:
    """The P pairs of an output voxel, of the rows from `start` to `stop`, and an input voxel, sorted by kernel offset.

    inputs: (P + SMALLEST,) int32 row of each pair, and spare ones; outputs: (P,) int32; counts: (offset, number of
    pairs) of the offsets that have any; by_output: (P,) int32 the pairs sorted by output row; ends: (stop - start + 1,)
    int32 where each row's begin there.
    """

    start: int
    stop: int
    inputs: Tensor
    outputs: Tensor
    counts: list[tuple[int, int]]
    by_output: Tensor
    ends: Tensor

    def sums(self, values: Tensor) -> Tensor:
        """Sum of the values (P, C) of each output row's pairs, (R, C)."""
        return embedding_bag(self.by_output, values, self.ends, mode="sum", include_last_offset=True)


def suits_any(x: Tensor) -> bool:
    """Whether products of these features cost so little to start that all of them are quicker here."""
    return x.device.type == "cpu" and x.dtype != torch.bfloat16


def suits(x: Tensor, weight: Tensor, kernel_map: KernelMap) -> bool:
    """Whether `product` of these is quicker here than chunk_products'."""
    kernel = weight[0].numel()
    wide = kernel >= BFLOAT16_KERNEL and kernel * len(kernel_map.table) >= BFLOAT16_WORK
    return suits_any(x) or (x.device.type == "cpu" and wide)


def pairs_of(kernel_map: KernelMap, rows: int) -> list[Pairs]:
    """All pairs of a kernel map, `rows` output rows at a time."""
    return kernel_map.prepared(("pairs", rows), lambda map_: _find_pairs(map_, rows))


def _find_pairs(kernel_map: KernelMap, rows: int) -> list[Pairs]:
    found = []
    for start in range(0, len(kernel_map.table), rows):
        part = kernel_map.table[start : start + rows]
        height, kernels = part.shape
        by_offset = part.t().reshape(-1)
        pairs = (by_offset < kernel_map.inputs).nonzero().squeeze(1)
        output = pairs % height
        firsts = torch.searchsorted(pairs, height * torch.arange(kernels + 1, device=pairs.device))
        counts = [(offset, count) for offset, count in enumerate(firsts.diff().tolist()) if count]
        ends = torch.zeros(height + 1, dtype=torch.int32, device=pairs.device)
        ends[1:] = torch.bincount(output, minlength=height).cumsum(0)
        inputs = torch.cat([by_offset.index_select(0, pairs), by_offset.new_zeros(SMALLEST)])
        by_output = torch.argsort(output, stable=True).to(torch.int32)
        found.append(Pairs(start, start + height, inputs, (output + start).to(torch.int32), counts, by_output, ends))
    return found


def product(x: Tensor, weight: Tensor, kernel_map: KernelMap, bias: Tensor | None = None) -> Tensor:
    """out[i] = sum_k x[map[i, k]] @ weight[k] + bias. x: (V, Ci), weight: (K, Ci, Co), bias: (1, Co)."""
    out = x.new_empty(len(kernel_map.table), weight.shape[2])
    for pairs in pairs_of(kernel_map, ROWS if suits_any(x) else BFLOAT16_ROWS):
        out[pairs.start : pairs.stop] = pairs.sums(_products(x.index_select(0, pairs.inputs), weight, pairs))
    return out if bias is None else out.add_(bias)


def weight_gradient(x: Tensor, grad: Tensor, kernel_map: KernelMap, kernels: int) -> Tensor:
    """sum_i x[map[i, k]]^T grad[i] as (K, Ci, Co)."""
    total = x.new_zeros(kernels, x.shape[1], grad.shape[1])
    for pairs in pairs_of(kernel_map, ROWS):
        _add_outer_products(total, x.index_select(0, pairs.inputs), grad.index_select(0, pairs.outputs), pairs)
    return total


def both_gradients(x: Tensor, mirrored: Tensor, grad: Tensor, kernel_map: KernelMap) -> tuple[Tensor, Tensor]:
    """Gradients of a centred kernel's input (V, Ci) and weight (K, Ci, Co), out of one gathering of grad (V, Co).

    mirrored: (K, Co, Ci) the kernel as its transposed convolution uses it. As the map is its own mirror image,
    x[j]^T grad[map[j, k]] summed over j belongs to kernel K-1-k.
    """
    dx, total = torch.empty_like(x), x.new_zeros(len(mirrored), x.shape[1], grad.shape[1])
    for pairs in pairs_of(kernel_map, ROWS):
        gathered = grad.index_select(0, pairs.inputs)
        dx[pairs.start : pairs.stop] = pairs.sums(_products(gathered, mirrored, pairs))
        _add_outer_products(total, x.index_select(0, pairs.outputs), gathered, pairs)
    return dx, total.flip(0)


def _products(x: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
    """Each pair's x[p] @ weight[offset of p], and spare rows. x: (P + SMALLEST, Ci), weight: (K, Ci, Co)."""
    out, start = x.new_empty(len(x), weight.shape[2]), 0
    for offset, count in pairs.counts:
        for block in _blocks(x, count):
            rows = slice(start + block.start, start + block.stop)
            torch.mm(x[rows], weight[offset], out=out[rows])
        start += count
    return out


def _blocks(x: Tensor, count: int) -> list[slice]:
    """Where to cut an offset's pairs; what reaches into the next offset's is overwritten by them."""
    if suits_any(x):
        return [slice(0, count)]
    return row_blocks(count, ROWS) if count > SMALLEST else [slice(0, SMALLEST)]


def _add_outer_products(total: Tensor, x: Tensor, y: Tensor, pairs: Pairs) -> None:
    """Add the sum of x[p]^T y[p] over an offset's pairs to its total (K, Cx, Cy). x: (P, Cx), y: (P, Cy)."""
    start = 0
    for offset, count in pairs.counts:
        total[offset].addmm_(x[start : start + count].t(), y[start : start + count])
        start += count
