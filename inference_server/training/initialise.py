"""Start a network from the weights of another: other inputs, other outputs (the paper starts from a semantic one)."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..models.checkpoints import FIRST_KERNEL
from ..models.inputs import channel_slices

_LAST = ("final.kernel", "final.bias")


def adapt_state(
    state: dict[str, Tensor], inputs: str, wanted: dict[str, Tensor], wanted_inputs: str, path: Path
) -> dict[str, Tensor]:
    """The state dict `state`, of input configuration `inputs`, made to fit `wanted`, of `wanted_inputs`.

    Channels that both configurations have keep their kernels in the first convolution, new ones get zeros; the
    output layer stays fresh where its shape differs; 1x1x1 kernels where the other has wider ones get what comes
    nearest. Raises UserError where anything else differs.
    """
    becomes_pointwise = [key for key, value in state.items() if key in wanted and wanted[key].ndim < value.ndim == 3]
    state = {**state, **{key: _pointwise(state[key]) for key in becomes_pointwise}}
    out = {}
    for key, target in wanted.items():
        value = state.get(key)
        if key == FIRST_KERNEL and value is not None and _but_inputs(value) == _but_inputs(target):
            out[key] = torch.zeros_like(target)
            old, new = channel_slices(inputs), channel_slices(wanted_inputs)
            if not old.keys() & new.keys():
                raise UserError(f"The weights {path} cannot start this network: they share no input with it.")
            for group in old.keys() & new.keys():
                out[key][..., new[group], :] = value[..., old[group], :]
        elif value is not None and value.shape == target.shape:
            out[key] = value
        elif key in _LAST:
            out[key] = target
        else:
            raise UserError(f"The weights {path} cannot start this network: '{key}' is missing or of another shape.")
    return out


def _pointwise(kernel: Tensor) -> Tensor:
    """The 1x1x1 kernel (Ci, Co) that comes near a centred one (K, Ci, Co) where neighbours are alike: on a scan's
    surfaces about a third of them are there."""
    centre = kernel[len(kernel) // 2]
    return centre + (kernel.sum(0) - centre) / 3


def _but_inputs(kernel: Tensor) -> tuple[int, ...]:
    return kernel.shape[:-2] + kernel.shape[-1:]
