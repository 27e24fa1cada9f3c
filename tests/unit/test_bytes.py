"""Kernels stored in bytes."""

import torch

from inference_server.models.bytes import SCALE, from_bytes, to_bytes
from inference_server.models.registry import ModelConfig, build_model


def test_kernels_come_back_within_half_a_step_of_their_scale():
    state = build_model(ModelConfig("MinkUNetLite", "rgb")).state_dict()
    state["final.bias"] = torch.tensor([[0.3, -70.0]])
    state["block1.0.conv1.kernel"][3] = 0
    stored = to_bytes(state)
    kernels = [key for key, value in state.items() if value.ndim > 1]
    assert all(stored[key].dtype == torch.int8 and stored[key + SCALE].dtype == torch.float16 for key in kernels)
    read = from_bytes(stored)
    assert read.keys() == state.keys()
    for key, value in state.items():
        if value.ndim > 1:
            step = value.abs().amax(-2, keepdim=True) / 127
            assert ((read[key] - value).abs() <= 0.56 * step + 1e-7).all(), key
        else:
            assert torch.equal(read[key], value), key


def test_what_was_not_stored_in_bytes_stays_as_it_is():
    state = {"kernel": torch.randn(3, 4).half(), "bn.weight": torch.randn(4)}
    assert all(torch.equal(value, state[key]) for key, value in from_bytes(state).items())
