"""The second engine: MinkowskiEngine's own layers behind the interface of `sparse.layers`.

Build it with `python install.py minkowski`. It computes in float32 or float64.
"""

import torch  # isort: skip  (before MinkowskiEngine: its extension needs torch's libraries loaded)

import MinkowskiEngine as ME
from torch import Tensor, nn


class Coordinates:
    """The voxels a tensor lives on, prepared once: coords (V, 4) int32, unique rows (batch, x, y, z)."""

    def __init__(self, coords: Tensor):
        self._manager = ME.CoordinateManager(D=3)
        key, (self._unique, self._inverse) = self._manager.insert_and_map(coords.int().contiguous(), 1)
        self._key = key

    def tensor(self, features: Tensor) -> ME.SparseTensor:
        """Put features (V, C), in the order of the coordinates given, on the grid."""
        if features.dtype not in (torch.float32, torch.float64):
            features = features.float()
        if len(self._unique):
            features = features[self._unique.to(features.device)]
        return ME.SparseTensor(features, coordinate_map_key=self._key, coordinate_manager=self._manager)

    def features(self, tensor: ME.SparseTensor) -> Tensor:
        """Features (V, C) in the order of the coordinates given."""
        return tensor.F[self._inverse.to(tensor.F.device)] if len(self._inverse) else tensor.F


class Convolution(ME.MinkowskiConvolution):
    """Kernel 1, 3 or 5 at stride 1, or kernel 2 at stride 2."""

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1, bias: bool = False):
        super().__init__(inputs, outputs, kernel_size=kernel_size, stride=stride, bias=bias, dimension=3)


class TransposedConvolution(ME.MinkowskiConvolutionTranspose):
    """Kernel 2, stride 2, back onto the finer grid."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, kernel_size=2, stride=2, dimension=3)


class BatchNorm(nn.Module):
    """Batch norm over all voxels, optionally followed by ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.bn = nn.BatchNorm1d(channels)

    def forward(self, x: ME.SparseTensor, relu: bool = False) -> ME.SparseTensor:
        out = self.bn(x.F)
        return _like(torch.relu(out) if relu else out, x)


def add_relu(a: ME.SparseTensor, b: ME.SparseTensor) -> ME.SparseTensor:
    """ReLU of the sum of two tensors on the same grid."""
    return _like(torch.relu(a.F + b.F), a)


def concatenate(a: ME.SparseTensor, b: ME.SparseTensor) -> ME.SparseTensor:
    """Channels of two tensors on the same grid side by side."""
    return ME.cat(a, b)


def _like(features: Tensor, x: ME.SparseTensor) -> ME.SparseTensor:
    return ME.SparseTensor(features, coordinate_map_key=x.coordinate_map_key, coordinate_manager=x.coordinate_manager)
