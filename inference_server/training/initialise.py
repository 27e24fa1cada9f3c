"""Start a network from the weights of another: wider inputs, other outputs (the paper starts from a semantic one)."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError

_FIRST = "conv0p1s1.kernel"
_LAST = ("final.kernel", "final.bias")


def adapt_state(state: dict[str, Tensor], wanted: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The state dict `state` made to fit `wanted`.

    The first convolution gets zero kernels for input channels it did not have; the output layer stays fresh where
    its shape differs. Raises UserError where anything else differs.
    """
    out = {}
    for key, target in wanted.items():
        value = state.get(key)
        if value is not None and value.shape == target.shape:
            out[key] = value
        elif key in _LAST:
            out[key] = target
        elif key == _FIRST and value is not None and value.shape[::2] == target.shape[::2]:
            channels = min(value.shape[1], target.shape[1])
            out[key] = torch.zeros_like(target)
            out[key][:, :channels] = value[:, :channels]
        else:
            raise UserError(f"The weights {path} cannot start this network: '{key}' is missing or of another shape.")
    return out
