"""MinkUNet: a U-Net of sparse convolutions (Choy et al., 4D Spatio-Temporal ConvNets, CVPR 2019).

Module names follow MinkowskiEngine's `examples/minkunet.py`, so that InterObject3D's released checkpoints load.
"""

from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn

from ..sparse.voxels import voxelize
from .points import TRAINED_VOXEL, Points


@dataclass(frozen=True)
class Architecture:
    """Widths and depths of a MinkUNet: first convolution, then four stages down and four up.

    pointwise: the stages, counted from one, whose blocks begin with a 1x1x1 convolution instead of a 3x3x3 one.
    """

    first: int
    planes: tuple[int, ...]
    blocks: tuple[int, ...]
    first_kernel: int = 5
    pointwise: tuple[int, ...] = ()


ARCHITECTURES = {
    "MinkUNet14A": Architecture(32, (32, 64, 128, 256, 128, 128, 96, 96), (1,) * 8),
    "MinkUNet18A": Architecture(32, (32, 64, 128, 256, 128, 128, 96, 96), (2,) * 8),
    "MinkUNet34C": Architecture(32, (32, 64, 128, 256, 256, 128, 96, 96), (2, 3, 4, 6, 2, 2, 2, 2)),
    "MinkUNetSmall": Architecture(24, (32, 64, 96, 128, 96, 64, 48, 32), (1,) * 8, first_kernel=3),
    "MinkUNetLite": Architecture(
        24, (32, 64, 96, 128, 96, 64, 48, 32), (1,) * 8, first_kernel=1, pointwise=(5, 6, 7, 8)
    ),
}
"""The paper's network is MinkUNet34C; MinkUNetSmall is a sibling for laptops, and MinkUNetLite that one with hardly
a kernel that looks at neighbours where there are many voxels, in 0.6 times the time."""

_UP_STRIDES = (16, 8, 4, 2)


def _block(engine: ModuleType, inputs: int, planes: int, kernel: int = 3) -> nn.Module:
    class BasicBlock(nn.Module):
        """Two convolutions, of `kernel` and of 3x3x3, and a shortcut, projected by 1x1x1 where the width changes."""

        def __init__(self):
            super().__init__()
            self.conv1 = engine.Convolution(inputs, planes, kernel)
            self.norm1 = engine.BatchNorm(planes)
            self.conv2 = engine.Convolution(planes, planes, 3)
            self.norm2 = engine.BatchNorm(planes)
            self.downsample = None
            if inputs != planes:
                self.downsample = nn.ModuleList([engine.Convolution(inputs, planes, 1), engine.BatchNorm(planes)])

        def forward(self, x):
            shortcut = x
            if self.downsample is not None:
                shortcut = self.downsample[1](self.downsample[0](x))
            out = self.norm1(self.conv1(x), relu=True)
            return engine.add_relu(self.norm2(self.conv2(out)), shortcut)

    return BasicBlock()


class MinkUNet(nn.Module):
    """`forward(points, features) -> logits`: voxel averages in, per-point class scores out."""

    def __init__(
        self,
        architecture: Architecture,
        engine: ModuleType,
        inputs: int,
        outputs: int = 2,
        voxel_size: float = TRAINED_VOXEL,
    ):
        super().__init__()
        self.engine, self.voxel_size, self.architecture = engine, voxel_size, architecture
        a = architecture
        self.conv0p1s1 = engine.Convolution(inputs, a.first, a.first_kernel)
        self.bn0 = engine.BatchNorm(a.first)
        width, skips = a.first, [a.first]
        for stage in range(4):
            name = f"conv{stage + 1}p{2**stage}s2"
            self.add_module(name, engine.Convolution(width, width, 2, stride=2))
            self.add_module(f"bn{stage + 1}", engine.BatchNorm(width))
            self.add_module(f"block{stage + 1}", self._blocks(width, stage))
            width = a.planes[stage]
            skips.append(width)
        skips.pop()
        for stage, stride in zip(range(4, 8), _UP_STRIDES, strict=True):
            planes = a.planes[stage]
            self.add_module(f"convtr{stage}p{stride}s2", engine.TransposedConvolution(width, planes))
            self.add_module(f"bntr{stage}", engine.BatchNorm(planes))
            self.add_module(f"block{stage + 1}", self._blocks(planes + skips.pop(), stage))
            width = planes
        self.final = engine.Convolution(width, outputs, 1, bias=True)

    def _blocks(self, inputs: int, stage: int) -> nn.Sequential:
        a = self.architecture
        widths = [inputs] + [a.planes[stage]] * (a.blocks[stage] - 1)
        kernel = 1 if stage + 1 in a.pointwise else 3
        return nn.Sequential(*(_block(self.engine, width, a.planes[stage], kernel) for width in widths))

    def forward(self, points: Points, features: Tensor) -> Tensor:
        """Scores (N, outputs) for points (N, 3) in metres with features (N, inputs).

        Computes in the features' dtype; the last layer's scores come back in at least float32.
        """
        voxels, coordinates = points.prepared(("voxels", id(self.engine), self.voxel_size), self._prepare)
        x = coordinates.tensor(voxels.mean(features))
        skips = []
        x = self.bn0(self.conv0p1s1(x), relu=True)
        for stage in range(1, 5):
            skips.append(x)
            x = getattr(self, f"conv{stage}p{2 ** (stage - 1)}s2")(x)
            x = getattr(self, f"bn{stage}")(x, relu=True)
            x = getattr(self, f"block{stage}")(x)
        for stage, stride in zip(range(4, 8), _UP_STRIDES, strict=True):
            x = getattr(self, f"convtr{stage}p{stride}s2")(x)
            x = getattr(self, f"bntr{stage}")(x, relu=True)
            x = getattr(self, f"block{stage + 1}")(self.engine.concatenate(x, skips.pop()))
        logits = coordinates.features(self.final(x)).index_select(0, voxels.inverse)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _prepare(self, points: Points):
        voxels = voxelize(points.xyz, self.voxel_size, points.batch)
        return voxels, self.engine.Coordinates(voxels.coords)

    def norm_pairs(self):
        """Every (convolution, batch norm behind it), for folding."""
        yield self.conv0p1s1, self.bn0
        for name, module in self.named_children():
            if name.startswith("conv") and name != "conv0p1s1":
                digits = name.split("p")[0]
                yield module, getattr(self, digits.replace("convtr", "bntr").replace("conv", "bn"))
            elif name.startswith("block"):
                for block in module:
                    yield block.conv1, block.norm1
                    yield block.conv2, block.norm2
                    if block.downsample is not None:
                        yield tuple(block.downsample)
