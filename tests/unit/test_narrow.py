"""Narrow networks that start from wider ones."""

import torch

from inference_server.models.minkunet import Architecture, MinkUNet
from inference_server.models.points import Points
from inference_server.sparse import layers
from inference_server.training.narrow import narrowed

NARROW = (6, 8, 7, 9, 10, 9, 8, 7, 6)
WIDE = (8, 9, 12, 13, 14, 12, 11, 9, 8)


def network(widths, blocks=(1,) * 8):
    return MinkUNet(Architecture(widths[0], widths[1:], blocks, first_kernel=3), layers, inputs=5).eval()


def silence(state, wanted):
    """Let the first channels, as many as are too many, say nothing."""
    for key, value in wanted.items():
        if key.endswith((".bn.weight", ".bn.bias")):
            state[key][: len(state[key]) - len(value)] = 0
        elif key.endswith(".bn.running_mean"):
            state[key].copy_(torch.randn(len(state[key])))


def answers(model, seed=0):
    random = torch.Generator().manual_seed(seed)
    xyz = torch.rand(400, 3, generator=random)
    with torch.no_grad():
        return model(Points(xyz), torch.rand(400, 5, generator=random))


def test_a_narrow_network_answers_as_the_wide_one_whose_other_channels_say_nothing():
    for blocks in ((1,) * 8, (2, 1, 3, 2, 1, 2, 1, 2)):
        wide, narrow = network(WIDE, blocks), network(NARROW, blocks)
        silence(wide.state_dict(), narrow.state_dict())
        narrow.load_state_dict(narrowed(wide.state_dict(), narrow.state_dict()))
        expected = answers(wide)
        assert float((answers(narrow) - expected).abs().max()) < 1e-5 * float(expected.abs().max())


def test_a_network_of_the_same_widths_is_the_same_network():
    wide = network(WIDE)
    kept = narrowed(wide.state_dict(), network(WIDE).state_dict())
    assert all(torch.equal(kept[key], value) for key, value in wide.state_dict().items())
