"""The default engine: layers of a sparse network in plain torch, with MinkowskiEngine's parameter names and shapes.

`kernel` is (K, Ci, Co), or (Ci, Co) for 1x1x1; `bias` is (1, Co); a batch norm's parameters live under `bn`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .convolution import dense_product, neighbourhood_convolution, strided_convolution, transposed_convolution
from .kernel_maps import Grid
from .normalisation import batch_norm, rectify


@dataclass(frozen=True)
class SparseTensor:
    """Features (V, C) on the voxels of a grid, in the grid's row order."""

    features: Tensor
    grid: Grid


class Coordinates:
    """The voxels a tensor lives on, prepared once: coords (V, 4) int32, unique rows (batch, x, y, z)."""

    def __init__(self, coords: Tensor):
        self.grid = Grid(coords)

    def tensor(self, features: Tensor) -> SparseTensor:
        """Put features (V, C), in the order of the coordinates given, on the grid."""
        return SparseTensor(features.index_select(0, self.grid.order), self.grid)

    def features(self, tensor: SparseTensor) -> Tensor:
        """Features (V, C) in the order of the coordinates given."""
        out = torch.empty_like(tensor.features)
        return out.index_copy(0, self.grid.order, tensor.features)


class Convolution(nn.Module):
    """Kernel 1, 3 or 5 at stride 1, or kernel 2 at stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, bias: bool = False):
        super().__init__()
        if (kernel_size, stride) not in {(1, 1), (3, 1), (5, 1), (2, 2)}:
            raise ValueError(f"no sparse convolution of kernel {kernel_size} and stride {stride}")
        self.kernel_size, self.stride = kernel_size, stride
        shape = (inputs, outputs) if kernel_size == 1 else (kernel_size**3, inputs, outputs)
        self.kernel = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(1, outputs)) if bias else None
        # He initialisation with the fan-out; about 0.4 of a kernel's offsets are occupied on a scan's surfaces
        nn.init.normal_(self.kernel, std=math.sqrt(2 / (outputs * max(1.0, 0.4 * kernel_size**3))))

    def forward(self, x: SparseTensor) -> SparseTensor:
        weight = self.kernel.to(x.features.dtype)
        bias = None if self.bias is None else self.bias.to(x.features.dtype)
        grid = x.grid
        if self.kernel_size == 1:
            out = dense_product(x.features, weight, bias)
        elif self.stride == 1:
            out = neighbourhood_convolution(x.features, weight, grid.neighbours(self.kernel_size), bias)
        else:
            out, grid = strided_convolution(x.features, weight, grid.coarser, bias), grid.coarser.grid
        return SparseTensor(out, grid)


class TransposedConvolution(nn.Module):
    """Kernel 2, stride 2, back onto the finer grid that the input's grid was made from."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.kernel = nn.Parameter(torch.empty(8, inputs, outputs))
        self.bias = None
        nn.init.normal_(self.kernel, std=math.sqrt(2 / outputs))

    def forward(self, x: SparseTensor) -> SparseTensor:
        finer = x.grid.finer
        weight = self.kernel.to(x.features.dtype)
        bias = None if self.bias is None else self.bias.to(x.features.dtype)
        return SparseTensor(transposed_convolution(x.features, weight, finer.coarser, bias), finer)


class BatchNorm(nn.Module):
    """Batch norm over all voxels, optionally followed by ReLU; statistics in float32 whatever the features are."""

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm1d(channels)
        self.folded = False

    def forward(self, x: SparseTensor, relu: bool = False) -> SparseTensor:
        if self.folded:
            return SparseTensor(rectify(x.features) if relu else x.features, x.grid)
        return SparseTensor(batch_norm(x.features, self.bn, relu), x.grid)


def add_relu(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """ReLU of the sum of two tensors on the same grid, in the place of the first."""
    return SparseTensor(rectify(a.features.add_(b.features)), a.grid)


def concatenate(a: SparseTensor, b: SparseTensor) -> SparseTensor:
    """Channels of two tensors on the same grid side by side."""
    return SparseTensor(torch.cat([a.features, b.features], 1), a.grid)


@torch.no_grad()
def fold(convolution: Convolution | TransposedConvolution, norm: BatchNorm) -> None:
    """For inference only: put a batch norm's running statistics into the convolution before it."""
    bn = norm.bn
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    shift = bn.bias - bn.running_mean * scale
    if convolution.bias is not None:
        shift = shift + convolution.bias[0] * scale
    convolution.kernel.mul_(scale)
    convolution.bias = nn.Parameter(shift.unsqueeze(0), requires_grad=False)
    norm.folded = True
