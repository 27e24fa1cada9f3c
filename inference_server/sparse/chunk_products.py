"""Products of a sparse convolution with the voxels under all kernel offsets gathered side by side, in chunks of rows.

One large product instead of many small ones: what GPUs want, and bfloat16 on a CPU, where every product is slow to
start. Offsets that none of a chunk's rows uses are left out.
"""

import threading
from dataclasses import dataclass

import torch
from torch import Tensor

from .kernel_maps import KernelMap
from .row_blocks import product_into, row_blocks

_CPU_ROWS = 1024
"""Output rows at a time on a CPU: the gathered chunk stays in the cache (measured)."""
_ACCELERATOR_ROWS = 65536


@dataclass(frozen=True)
class Chunk:
    """Consecutive output rows and the kernel offsets that any of them uses.

    offsets: (A,) int64 active offsets; rows: (R * A,) int32 input row per (output row, active offset),
    the number of input rows standing for "no voxel".
    """

    start: int
    stop: int
    offsets: Tensor
    rows: Tensor


class _Space(threading.local):
    """A thread's place for what is gathered. Fresh memory for every chunk comes from the system and goes back to it, as
    the heap happens to be, and may take as long as the products."""

    flat: Tensor | None = None

    def of(self, like: Tensor, rows: int) -> Tensor:
        """(rows, C) of the type of features (V, C) on a CPU; what was there before is lost."""
        size = rows * like.shape[1]
        if self.flat is None or self.flat.dtype != like.dtype or len(self.flat) < size:
            with torch.inference_mode(False):  # for training as well
                self.flat = torch.empty(size, dtype=like.dtype)
        return self.flat[:size].view(rows, -1)


_space = _Space()


def chunks_of(kernel_map: KernelMap, size: int) -> list[Chunk]:
    """Cut a kernel map into runs of `size` output rows, each without the offsets none of its rows uses."""
    return kernel_map.prepared(size, lambda map_: [_chunk(map_, block) for block in _runs(len(map_.table), size)])


def _compiled_chunks_of(kernel_map: KernelMap) -> list[Chunk]:
    return kernel_map.prepared(
        "blocks", lambda map_: [_chunk(map_, block) for block in row_blocks(len(map_.table), _CPU_ROWS)]
    )


def _runs(rows: int, size: int) -> list[slice]:
    return [slice(start, min(start + size, rows)) for start in range(0, rows, size)]


def _chunk(kernel_map: KernelMap, block: slice) -> Chunk:
    part = kernel_map.table[block]
    offsets = (part.amin(0) < kernel_map.inputs).nonzero().squeeze(1)
    return Chunk(block.start, block.stop, offsets, part.index_select(1, offsets).reshape(-1))


def _rows(x: Tensor) -> int:
    return _CPU_ROWS if x.device.type == "cpu" else _ACCELERATOR_ROWS


def _gather(x: Tensor, chunk: Chunk) -> Tensor:
    """(R, A * C) out of x with a row of zeros behind its last; on a CPU it holds until the next gathering."""
    space = _space.of(x, len(chunk.rows)) if x.device.type == "cpu" else None
    return torch.index_select(x, 0, chunk.rows, out=space).view(chunk.stop - chunk.start, -1)


def _active(weight: Tensor, chunk: Chunk) -> Tensor:
    """(A * Ci, Co) of a kernel (K, Ci, Co)."""
    active = weight if len(chunk.offsets) == len(weight) else weight.index_select(0, chunk.offsets)
    return active.reshape(-1, weight.shape[2])


def _with_zero_row(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_zeros(1, x.shape[1])])


def product(x: Tensor, weight: Tensor, kernel_map: KernelMap, bias: Tensor | None = None) -> Tensor:
    """out[i] = sum_k x[map[i, k]] @ weight[k] + bias. x: (V, Ci), weight: (K, Ci, Co), bias: (1, Co)."""
    padded = _with_zero_row(x)
    out = x.new_empty(len(kernel_map.table), weight.shape[2])
    on_cpu = x.device.type == "cpu"
    for chunk in _compiled_chunks_of(kernel_map) if on_cpu else chunks_of(kernel_map, _ACCELERATOR_ROWS):
        product_into(out[chunk.start : chunk.stop], _gather(padded, chunk), _active(weight, chunk), bias)
    return out


def weight_gradient(x: Tensor, grad: Tensor, kernel_map: KernelMap, kernels: int) -> Tensor:
    """sum_i x[map[i, k]]^T grad[i] as (K, Ci, Co), summed over chunks in at least float32."""
    padded = _with_zero_row(x)
    total = _total(grad.shape[1], kernels, x)
    for chunk in chunks_of(kernel_map, _rows(x)):
        # the narrow factor transposed, not the wide one: an eighth faster on CPUs
        product = grad[chunk.start : chunk.stop].t() @ _gather(padded, chunk)
        total.index_add_(1, chunk.offsets, product.view(len(product), len(chunk.offsets), -1).to(total.dtype))
    return total.permute(1, 2, 0)


def both_gradients(x: Tensor, mirrored: Tensor, grad: Tensor, kernel_map: KernelMap) -> tuple[Tensor, Tensor]:
    """Gradients of a centred kernel's input (V, Ci) and weight (K, Ci, Co), out of one gathering of grad (V, Co).

    mirrored: (K, Co, Ci) the kernel as its transposed convolution uses it. As the map is its own mirror image,
    x[j]^T grad[map[j, k]] summed over j belongs to kernel K-1-k.
    """
    padded = _with_zero_row(grad)
    dx, total = torch.empty_like(x), _total(x.shape[1], len(mirrored), grad)
    for chunk in chunks_of(kernel_map, _rows(x)):
        gathered = _gather(padded, chunk)
        torch.mm(gathered, _active(mirrored, chunk), out=dx[chunk.start : chunk.stop])
        product = x[chunk.start : chunk.stop].t() @ gathered
        total.index_add_(1, chunk.offsets, product.view(len(product), len(chunk.offsets), -1).to(total.dtype))
    return dx, total.flip(1).permute(1, 0, 2)


def _total(outer: int, kernels: int, like: Tensor) -> Tensor:
    dtype = torch.promote_types(like.dtype, torch.float32)
    return torch.zeros((outer, kernels, like.shape[1]), dtype=dtype, device=like.device)
