"""ReLU in place, of every number format, with and without gradients."""

import pytest
import torch

from inference_server.sparse.normalisation import rectify


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_what_is_below_zero_is_zero_and_the_rest_stays(dtype):
    x = torch.tensor([[-3.0, -0.0, 0.0, 1e-30, 2.5, float("inf"), -float("inf"), -1e-30]]).to(dtype)
    wanted = torch.relu(x)
    with torch.inference_mode():
        out = rectify(x.clone())
    assert torch.equal(out, wanted)


def test_it_is_in_place_for_any_strides():
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    left = x[:, :3]
    wanted, right = torch.relu(left), x[:, 3:].clone()
    assert rectify(left) is left
    assert torch.equal(left, wanted) and torch.equal(x[:, 3:], right)


def test_gradients_go_through_it():
    weights = torch.tensor([[-1.0, 2.0]], dtype=torch.bfloat16, requires_grad=True)
    rectify(weights * 3).sum().backward()
    assert weights.grad.tolist() == [[0.0, 3.0]]
