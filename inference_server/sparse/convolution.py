"""The three products a sparse U-Net needs, forward and backward, with memory bounded by chunks.

Only inputs, weights and kernel maps are kept for the backward pass; the gathered matrix, 27 times the input,
is made again chunk by chunk. One code path for CPU, CUDA and MPS.
"""

import torch
from torch import Tensor
from torch.autograd import Function

from .kernel_maps import Coarsening, KernelMap

_CPU_ROWS = {torch.bfloat16: 1024, torch.float32: 512, torch.float64: 512}
"""Output rows per product on a CPU: the gathered chunk stays in the cache (measured)."""
_ACCELERATOR_ROWS = 65536


def rows_per_chunk(x: Tensor) -> int:
    """Output rows that one matrix product takes at a time for this tensor's device and dtype."""
    return _CPU_ROWS.get(x.dtype, 512) if x.device.type == "cpu" else _ACCELERATOR_ROWS


def _with_zero_row(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_zeros(1, x.shape[1])])


def _gather_product(x: Tensor, weight: Tensor, kernel_map: KernelMap, bias: Tensor | None = None) -> Tensor:
    """out[i] = sum_k x[map[i, k]] @ weight[k] + bias. x: (V, Ci), weight: (K, Ci, Co), bias: (1, Co)."""
    padded = _with_zero_row(x)
    out = x.new_empty(len(kernel_map.table), weight.shape[2])
    for chunk in kernel_map.chunks(rows_per_chunk(x)):
        gathered = padded.index_select(0, chunk.rows).view(chunk.stop - chunk.start, -1)
        active = weight if len(chunk.offsets) == len(weight) else weight.index_select(0, chunk.offsets)
        rows = out[chunk.start : chunk.stop]
        if bias is None:
            torch.mm(gathered, active.reshape(-1, weight.shape[2]), out=rows)
        else:
            torch.addmm(bias, gathered, active.reshape(-1, weight.shape[2]), out=rows)
    return out


def _weight_gradient(x: Tensor, grad: Tensor, kernel_map: KernelMap, kernels: int) -> Tensor:
    """sum_i x[map[i, k]]^T grad[i] as (K, Ci, Co), summed over chunks in at least float32."""
    padded = _with_zero_row(x)
    total = torch.zeros(
        (grad.shape[1], kernels, x.shape[1]), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device
    )
    for chunk in kernel_map.chunks(rows_per_chunk(x)):
        gathered = padded.index_select(0, chunk.rows).view(chunk.stop - chunk.start, -1)
        # the narrow factor transposed, not the wide one: an eighth faster on CPUs
        product = grad[chunk.start : chunk.stop].t() @ gathered
        total.index_add_(1, chunk.offsets, product.view(len(product), len(chunk.offsets), -1).to(total.dtype))
    return total.permute(1, 2, 0)


def _mirrored(weight: Tensor) -> Tensor:
    """A centred kernel (K, Ci, Co) as its transposed convolution uses it, (K, Co, Ci)."""
    return weight.flip(0).transpose(1, 2).contiguous()


def _both_gradients(x: Tensor, weight: Tensor, grad: Tensor, kernel_map: KernelMap) -> tuple[Tensor, Tensor]:
    """Gradients of a centred kernel's input (V, Ci) and weight (K, Ci, Co), out of one gathering of grad (V, Co).

    As the map is its own mirror image, x[j]^T grad[map[j, k]] summed over j belongs to kernel K-1-k.
    """
    padded, kernels = _with_zero_row(grad), len(weight)
    mirrored = _mirrored(weight)
    dx = torch.empty_like(x)
    total = torch.zeros(
        (x.shape[1], kernels, grad.shape[1]), dtype=torch.promote_types(x.dtype, torch.float32), device=x.device
    )
    for chunk in kernel_map.chunks(rows_per_chunk(x)):
        gathered = padded.index_select(0, chunk.rows).view(chunk.stop - chunk.start, -1)
        active = mirrored if len(chunk.offsets) == kernels else mirrored.index_select(0, chunk.offsets)
        torch.mm(gathered, active.reshape(-1, x.shape[1]), out=dx[chunk.start : chunk.stop])
        product = x[chunk.start : chunk.stop].t() @ gathered
        total.index_add_(1, chunk.offsets, product.view(len(product), len(chunk.offsets), -1).to(total.dtype))
    return dx, total.flip(1).permute(1, 0, 2).to(weight.dtype)


def _bias_gradient(ctx, grad: Tensor) -> Tensor | None:
    return grad.sum(0, keepdim=True) if ctx.needs_input_grad[2] else None


def _pick_product(x: Tensor, weight: Tensor, parent: Tensor, slot: Tensor) -> Tensor:
    """out[j] = x[parent[j]] @ weight[slot[j]]: one product on the parents, then the right row of each child."""
    all_slots = x @ weight.permute(1, 0, 2).reshape(x.shape[1], -1)
    return all_slots.view(len(x) * len(weight), -1).index_select(0, parent * len(weight) + slot)


class _Neighbourhood(Function):
    """Odd, centred kernel of stride 1. The map is its own mirror image: map[i, k] = j <=> map[j, K-1-k] = i."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.kernel_map = kernel_map
        return _gather_product(x, weight, kernel_map, bias)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        dx = dw = None
        if ctx.needs_input_grad[0] and ctx.needs_input_grad[1]:
            dx, dw = _both_gradients(x, weight, grad, ctx.kernel_map)
        elif ctx.needs_input_grad[0]:
            dx = _gather_product(grad, _mirrored(weight), ctx.kernel_map)
        elif ctx.needs_input_grad[1]:
            dw = _weight_gradient(x, grad, ctx.kernel_map, len(weight)).to(weight.dtype)
        return dx, dw, _bias_gradient(ctx, grad), None


class _Strided(Function):
    """2x2x2 kernel of stride 2: each coarse voxel gathers its up to eight children."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, coarsening: Coarsening) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.coarsening = coarsening
        return _gather_product(x, weight, coarsening.children, bias)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        down = ctx.coarsening
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = _pick_product(grad, weight.transpose(1, 2), down.parent, down.slot)
        if ctx.needs_input_grad[1]:
            dw = _weight_gradient(x, grad, down.children, len(weight)).to(weight.dtype)
        return dx, dw, _bias_gradient(ctx, grad), None


class _Transposed(Function):
    """Transpose of `_Strided`: each fine voxel takes its parent through the kernel of its place."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, coarsening: Coarsening) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.coarsening = coarsening
        return _pick_product(x, weight, coarsening.parent, coarsening.slot)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        down = ctx.coarsening
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = _gather_product(grad, weight.transpose(1, 2).contiguous(), down.children)
        if ctx.needs_input_grad[1]:
            dw = _weight_gradient(grad, x, down.children, len(weight)).transpose(1, 2).to(weight.dtype)
        return dx, dw, None


def neighbourhood_convolution(x: Tensor, weight: Tensor, kernel_map: KernelMap, bias: Tensor | None = None) -> Tensor:
    """Stride-1 convolution onto the same voxels. x: (V, Ci), weight: (K, Ci, Co), bias: (1, Co) -> (V, Co)."""
    return _Neighbourhood.apply(x, weight, bias, kernel_map)


def strided_convolution(x: Tensor, weight: Tensor, coarsening: Coarsening, bias: Tensor | None = None) -> Tensor:
    """2x2x2, stride 2: fine (V, Ci) -> coarse (Vc, Co). weight: (8, Ci, Co), bias: (1, Co)."""
    return _Strided.apply(x, weight, bias, coarsening)


def transposed_convolution(x: Tensor, weight: Tensor, coarsening: Coarsening) -> Tensor:
    """2x2x2, stride 2, transposed: coarse (Vc, Ci) -> fine (V, Co). weight: (8, Ci, Co)."""
    return _Transposed.apply(x, weight, coarsening)
