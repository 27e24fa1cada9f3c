"""The three convolutions of a sparse U-Net, forward and backward, with memory bounded by parts of the output rows.

Only inputs, weights and kernel maps are kept for the backward pass; what is gathered for a product is gathered again.
"""

from types import ModuleType

import torch
from torch import Tensor
from torch.autograd import Function

from . import chunk_products, pair_products
from .kernel_maps import Coarsening, KernelMap
from .row_blocks import product_into, row_blocks

_DENSE_ROWS = 8192


def _product(x: Tensor, weight: Tensor, kernel_map: KernelMap, bias: Tensor | None = None) -> Tensor:
    """out[i] = sum_k x[map[i, k]] @ weight[k] + bias. x: (V, Ci), weight: (K, Ci, Co), bias: (1, Co)."""
    by = pair_products if pair_products.suits(x, weight, kernel_map) else chunk_products
    return by.product(x, weight, kernel_map, bias)


def _gradients(x: Tensor) -> ModuleType:
    """Where to take gradients for features of this kind from."""
    return pair_products if pair_products.suits_any(x) else chunk_products


def dense_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x @ weight + bias, x: (V, Ci), weight: (Ci, Co), bias: (1, Co)."""
    if x.device.type != "cpu" or x.dtype != torch.bfloat16 or (torch.is_grad_enabled() and weight.requires_grad):
        return x @ weight if bias is None else torch.addmm(bias, x, weight)
    out = x.new_empty(len(x), weight.shape[1])
    for block in row_blocks(len(x), _DENSE_ROWS):
        product_into(out[block], x[block], weight, bias)
    return out


def _mirrored(weight: Tensor) -> Tensor:
    """A centred kernel (K, Ci, Co) as its transposed convolution uses it, (K, Co, Ci)."""
    return weight.flip(0).transpose(1, 2).contiguous()


def _bias_gradient(ctx, grad: Tensor) -> Tensor | None:
    return grad.sum(0, keepdim=True) if ctx.needs_input_grad[2] else None


def _pick_product(x: Tensor, weight: Tensor, parent: Tensor, slot: Tensor, bias: Tensor | None = None) -> Tensor:
    """out[j] = x[parent[j]] @ weight[slot[j]] + bias: one product on the parents, then the right row of each child."""
    bias = None if bias is None else bias.repeat(1, len(weight))
    all_slots = dense_product(x, weight.permute(1, 0, 2).reshape(x.shape[1], -1), bias)
    return all_slots.view(len(x) * len(weight), -1).index_select(0, parent * len(weight) + slot)


class _Neighbourhood(Function):
    """Odd, centred kernel of stride 1. The map is its own mirror image: map[i, k] = j <=> map[j, K-1-k] = i."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, kernel_map: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.kernel_map = kernel_map
        return _product(x, weight, kernel_map, bias)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        dx = dw = None
        if ctx.needs_input_grad[0] and ctx.needs_input_grad[1]:
            dx, dw = _gradients(x).both_gradients(x, _mirrored(weight), grad, ctx.kernel_map)
            dw = dw.to(weight.dtype)
        elif ctx.needs_input_grad[0]:
            dx = _product(grad, _mirrored(weight), ctx.kernel_map)
        elif ctx.needs_input_grad[1]:
            dw = _gradients(x).weight_gradient(x, grad, ctx.kernel_map, len(weight)).to(weight.dtype)
        return dx, dw, _bias_gradient(ctx, grad), None


class _Strided(Function):
    """2x2x2 kernel of stride 2: each coarse voxel gathers its up to eight children."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, coarsening: Coarsening) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.coarsening = coarsening
        return _product(x, weight, coarsening.children, bias)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        down = ctx.coarsening
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = _pick_product(grad, weight.transpose(1, 2), down.parent, down.slot)
        if ctx.needs_input_grad[1]:
            dw = _gradients(x).weight_gradient(x, grad, down.children, len(weight)).to(weight.dtype)
        return dx, dw, _bias_gradient(ctx, grad), None


class _Transposed(Function):
    """Transpose of `_Strided`: each fine voxel takes its parent through the kernel of its place."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None, coarsening: Coarsening) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.coarsening = coarsening
        return _pick_product(x, weight, coarsening.parent, coarsening.slot, bias)

    @staticmethod
    def backward(ctx, grad: Tensor):
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        down = ctx.coarsening
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = _product(grad, weight.transpose(1, 2).contiguous(), down.children)
        if ctx.needs_input_grad[1]:
            dw = _gradients(x).weight_gradient(grad, x, down.children, len(weight)).transpose(1, 2).to(weight.dtype)
        return dx, dw, _bias_gradient(ctx, grad), None


def neighbourhood_convolution(x: Tensor, weight: Tensor, kernel_map: KernelMap, bias: Tensor | None = None) -> Tensor:
    """Stride-1 convolution onto the same voxels. x: (V, Ci), weight: (K, Ci, Co), bias: (1, Co) -> (V, Co)."""
    return _Neighbourhood.apply(x, weight, bias, kernel_map)


def strided_convolution(x: Tensor, weight: Tensor, coarsening: Coarsening, bias: Tensor | None = None) -> Tensor:
    """2x2x2, stride 2: fine (V, Ci) -> coarse (Vc, Co). weight: (8, Ci, Co), bias: (1, Co)."""
    return _Strided.apply(x, weight, bias, coarsening)


def transposed_convolution(x: Tensor, weight: Tensor, coarsening: Coarsening, bias: Tensor | None = None) -> Tensor:
    """2x2x2, stride 2, transposed: coarse (Vc, Ci) -> fine (V, Co). weight: (8, Ci, Co), bias: (1, Co)."""
    return _Transposed.apply(x, weight, bias, coarsening)
