"""Start a network from the weights of another: other inputs, other outputs (the paper starts from a semantic one)."""

from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..models.inputs import channel_slices
from .narrow import narrowed

_FIRST = "conv0p1s1.kernel"
_LAST = ("final.kernel", "final.bias")


def adapt_state(
    state: dict[str, Tensor], inputs: str, wanted: dict[str, Tensor], wanted_inputs: str, path: Path
) -> dict[str, Tensor]:
    """The state dict `state`, of input configuration `inputs`, made to fit `wanted`, of `wanted_inputs`.

    Channels that both configurations have keep their kernels in the first convolution, new ones get zeros; the
    output layer stays fresh where its shape differs; a narrower network of the same layout keeps what says most of
    every layer. Raises UserError where anything else differs.
    """
    if _is_narrower(wanted, state):
        state = narrowed(state, wanted)
    out = {}
    for key, target in wanted.items():
        value = state.get(key)
        if key == _FIRST and value is not None and value.shape[::2] == target.shape[::2]:
            out[key] = torch.zeros_like(target)
            old, new = channel_slices(inputs), channel_slices(wanted_inputs)
            for group in old.keys() & new.keys():
                out[key][:, new[group]] = value[:, old[group]]
        elif value is not None and value.shape == target.shape:
            out[key] = value
        elif key in _LAST:
            out[key] = target
        else:
            raise UserError(f"The weights {path} cannot start this network: '{key}' is missing or of another shape.")
    return out


def _is_narrower(wanted: dict[str, Tensor], state: dict[str, Tensor]) -> bool:
    if wanted.keys() != state.keys():
        return False
    widths = [(len(wanted[key]), len(state[key])) for key in wanted if key.endswith(".bn.bias")]
    return all(new <= old for new, old in widths) and any(new < old for new, old in widths)
