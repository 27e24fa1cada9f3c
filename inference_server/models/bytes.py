"""Kernels stored in bytes: half the size of half precision, and the same masks."""

import torch
from torch import Tensor

SCALE = ".scale"
"""What the key of a kernel's scales ends in."""


def to_bytes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A state dict with its kernels, (..., Ci, Co), as int8 and with their scales, (..., 1, Co) in half precision."""
    out = {}
    for key, value in state.items():
        if value.ndim < 2:
            out[key] = value
            continue
        scale = (value.float().abs().amax(-2, keepdim=True) / 127).clamp(min=2.0**-24).half()
        out[key] = (value.float() / scale.float()).round().clamp(-127, 127).to(torch.int8)
        out[key + SCALE] = scale
    return out


def from_bytes(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict that `to_bytes` was given, kernels in float32; what has no scales stays as it is."""
    scales = {key + SCALE: state[key + SCALE] for key in state if key + SCALE in state}
    rest = {key: value for key, value in state.items() if key not in scales}
    return {
        key: value.float() * scales[key + SCALE].float() if key + SCALE in scales else value
        for key, value in rest.items()
    }
