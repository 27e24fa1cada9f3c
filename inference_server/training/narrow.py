"""Start a narrow MinkUNet from a wider one of the same layout: of every layer the channels that say most are kept.

What a channel says is its mean square behind batch norm and ReLU, taking what goes into the ReLU to be normally
distributed, times the squared weights that read it. So nothing need be run.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

_UP_STRIDES = (16, 8, 4, 2)


@dataclass
class _Wiring:
    """Which channels are the same thing. norms: by group of channels, the batch norms that make it; readers, makers: by
    convolution, the groups that it reads, one after the other, and the one that it writes to."""

    norms: dict[str, list[str]] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)
    makers: dict[str, str] = field(default_factory=dict)

    def join(self, convolution: str, norm: str, reads: list[str], makes: str) -> str:
        self.norms.setdefault(makes, []).append(norm)
        self.readers[convolution], self.makers[convolution] = reads, makes
        return makes


def _wiring(state: dict[str, Tensor]) -> _Wiring:
    """That of a MinkUNet by the names of its parameters."""
    wiring = _Wiring()
    channels = wiring.join("conv0p1s1", "bn0", [], "conv0p1s1")
    skips = []
    for stage in range(8):
        if stage < 4:
            skips.append(channels)
            name = f"conv{stage + 1}p{2**stage}s2"
            reads = [wiring.join(name, f"bn{stage + 1}", [channels], name)]
        else:
            name = f"convtr{stage}p{_UP_STRIDES[stage - 4]}s2"
            reads = [wiring.join(name, f"bntr{stage}", [channels], name), skips.pop()]
        block, number = f"block{stage + 1}.0", 0
        while f"{block}.conv1.kernel" in state:
            inside = wiring.join(f"{block}.conv1", f"{block}.norm1", reads, f"{block}.conv1")
            projected = f"{block}.downsample.0.kernel" in state
            channels = block if projected else reads[0]
            wiring.join(f"{block}.conv2", f"{block}.norm2", [inside], channels)
            if projected:
                wiring.join(f"{block}.downsample.0", f"{block}.downsample.1", reads, channels)
            reads, number = [channels], number + 1
            block = f"block{stage + 1}.{number}"
    wiring.readers["final"] = [channels]
    return wiring


def narrowed(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a MinkUNet with no more channels anywhere than `wanted` has, whose names are the same."""
    wiring, state = _wiring(state), {key: value.float() for key, value in state.items()}
    kept = _kept(wiring, state, {makes: len(wanted[f"{norms[0]}.bn.bias"]) for makes, norms in wiring.norms.items()})
    out = dict(state)
    for convolution, reads in wiring.readers.items():
        kernel = state[f"{convolution}.kernel"]
        if reads:
            ends = torch.tensor([0] + [_width(wiring, state, group) for group in reads]).cumsum(0)
            rows = torch.cat([end + kept[group] for end, group in zip(ends[:-1], reads, strict=True)])
            kernel = kernel.index_select(-2, rows)
        if convolution in wiring.makers:
            kernel = kernel.index_select(-1, kept[wiring.makers[convolution]])
        out[f"{convolution}.kernel"] = kernel
    for group, norms in wiring.norms.items():
        for norm in norms:
            for name in ("weight", "bias", "running_mean", "running_var"):
                out[f"{norm}.bn.{name}"] = state[f"{norm}.bn.{name}"][kept[group]]
    return out


def _width(wiring: _Wiring, state: dict[str, Tensor], group: str) -> int:
    return len(state[f"{wiring.norms[group][0]}.bn.bias"])


def _kept(wiring: _Wiring, state: dict[str, Tensor], widths: dict[str, int]) -> dict[str, Tensor]:
    """By group of channels, which stay, in order."""
    weight = {group: torch.zeros(_width(wiring, state, group)) for group in wiring.norms}
    for convolution, reads in wiring.readers.items():
        kernel = state[f"{convolution}.kernel"]
        squares = kernel.reshape(-1, *kernel.shape[-2:]).square().sum((0, 2))
        parts = squares.split([len(weight[group]) for group in reads]) if reads else []
        for group, part in zip(reads, parts, strict=True):
            weight[group] += part / squares.sum()
    loud = {group: _mean_square(state, norms) * weight[group] for group, norms in wiring.norms.items()}
    return {group: each.topk(min(widths[group], len(each))).indices.sort().values for group, each in loud.items()}


def _mean_square(state: dict[str, Tensor], norms: list[str]) -> Tensor:
    """Of the ReLU of the sum of normal variables with these batch norms' means (bias) and deviations (weight), (C,)."""
    mean = sum(state[f"{norm}.bn.bias"] for norm in norms)
    deviation = sum(state[f"{norm}.bn.weight"].square() for norm in norms).clamp(min=1e-12).sqrt()
    z = mean / deviation
    below, density = torch.special.ndtr(z), torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi)
    return (mean.square() + deviation.square()) * below + mean * deviation * density
