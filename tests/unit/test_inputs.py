"""What a network is fed, on a floor of voxels with a wall at one side."""

import numpy as np
import pytest
import torch

from inference_server.models.inputs import INPUTS, ClickTensors, channel_slices, encode_inputs, input_width

VOXEL = 0.05
FLOOR = np.stack(np.meshgrid(np.arange(40), np.arange(20), [0], indexing="ij"), -1).reshape(-1, 3)
WALL = np.stack(np.meshgrid([40], np.arange(20), np.arange(1, 20), indexing="ij"), -1).reshape(-1, 3)
XYZ = torch.from_numpy((np.concatenate([FLOOR, WALL]) + 0.5) * VOXEL).float()
NORMALS = torch.cat([torch.tensor([[0.0, 0, -1]]).expand(len(FLOOR), 3), torch.tensor([[1.0, 0, 0]]).expand(380, 3)])
RGB = torch.full((len(XYZ), 3), 0.5)


def encoded(*clicks, inputs="rgb-surface", rgb=RGB, normals=NORMALS, previous=None):
    """Channels by group for clicks given as (x, y, z, positive)."""
    places = torch.tensor([click[:3] for click in clicks]).float().reshape(-1, 3)
    tensors = ClickTensors(places, torch.tensor([click[3] for click in clicks], dtype=torch.bool))
    channels = encode_inputs(inputs, XYZ, rgb, tensors, VOXEL, normals, previous)
    assert channels.shape == (len(XYZ), input_width(inputs)) and torch.isfinite(channels).all()
    return {group: channels[:, where] for group, where in channel_slices(inputs).items()}


def at(x, y, z):
    return int((XYZ - torch.tensor([x, y, z])).norm(dim=1).argmin())


@pytest.mark.parametrize("inputs", INPUTS)
def test_channels_of_clicks_are_zero_without_clicks_of_their_sign(inputs):
    for group, channels in encoded((1.0, 0.5, 0.025, True), inputs=inputs).items():
        if group.startswith("click_"):
            half = channels.shape[1] // 2
            assert channels[:, :half].any() and not channels[:, half:].any(), group


def test_a_click_is_a_cube_of_ones_in_the_channel_of_its_sign():
    """InterObject3D equation 1: 1 within epsilon in every coordinate, here one voxel."""
    cubes = encoded((1.025, 0.525, 0.025, True), (0.225, 0.225, 0.025, False))["click_cubes"]
    inside = ((XYZ - torch.tensor([1.025, 0.525, 0.025])).abs() <= VOXEL * 1.01).all(1)
    assert torch.equal(cubes[:, 0].bool(), inside) and int(inside.sum()) == 9
    assert int(cubes[:, 1].sum()) == 9 and not (cubes[:, 0] * cubes[:, 1]).any()


def test_distance_falls_from_the_nearest_click():
    near = encoded((0.5, 0.5, 0.025, True), (1.5, 0.5, 0.025, True))["click_distance"][:, 0]
    assert near[at(0.5, 0.5, 0)] > near[at(0.7, 0.5, 0)] > near[at(1.0, 0.5, 0)]
    assert abs(near[at(1.5, 0.5, 0)] - near[at(0.5, 0.5, 0)]) < 0.05


def test_a_plane_goes_on_however_far_from_its_click():
    plane = encoded((0.2, 0.5, 0.025, True))["click_plane"]
    assert plane[at(1.9, 0.9, 0), :2].min() > 0.99
    assert plane[at(2.025, 0.5, 0.9), :2].max() < 0.01
    assert not plane[:, 2:].any()


def test_what_crosses_a_plane_is_near_it_but_not_parallel():
    plane = encoded((1.9, 0.5, 0.025, True))["click_plane"]
    foot = at(2.025, 0.5, 0.075)
    assert plane[foot, 0] > 0.3 and plane[foot, 1] < 0.01


def test_the_sign_of_a_normal_says_nothing():
    one, other = encoded((1.0, 0.5, 0.0, True)), encoded((1.0, 0.5, 0.0, True), normals=-NORMALS)
    assert all(torch.equal(one[group], other[group]) for group in one)


def test_level_tells_floors_from_walls():
    level = encoded((1.0, 0.5, 0.0, True))["level"][:, 0]
    assert (level[: len(FLOOR)] == 1).all() and (level[len(FLOOR) :] == 0).all()


def test_what_a_configuration_needs_and_does_not_get_is_an_error():
    with pytest.raises(ValueError, match="needs colours"):
        encoded((1.0, 0.5, 0.0, True), rgb=None)
    with pytest.raises(ValueError, match="needs normals"):
        encoded((1.0, 0.5, 0.0, True), normals=None)


def test_the_last_answer_is_told_as_a_mask_and_how_sure_it_was():
    scores = torch.full((len(XYZ),), -8.0)
    scores[:10], scores[10] = 8.0, 0.1
    told = encoded((0.5, 0.5, 0.025, True), inputs="rgb-feedback", previous=scores)["previous"]
    assert told[:11, 0].eq(1).all() and told[11:, 0].eq(-1).all()
    assert told[:10, 1].min() > 0.99 and 0 < told[10, 1] < 0.1 and told[11:, 1].max() < -0.99


def test_without_a_last_answer_nothing_is_told():
    assert not encoded((0.5, 0.5, 0.025, True), inputs="rgb-feedback")["previous"].any()


@pytest.mark.parametrize("inputs", INPUTS)
def test_many_clicks_say_the_same_a_few_at_a_time(inputs, monkeypatch):
    chosen = XYZ[torch.randperm(len(XYZ), generator=torch.Generator().manual_seed(0))[:30]]
    clicks = [(*place, number % 3 > 0) for number, place in enumerate(chosen.tolist())]
    rgb = torch.rand(len(XYZ), 3, generator=torch.Generator().manual_seed(1))
    at_once = encoded(*clicks, inputs=inputs, rgb=rgb)
    monkeypatch.setattr("inference_server.models.inputs.CLICKS_AT_ONCE", 7)
    for group, channels in encoded(*clicks, inputs=inputs, rgb=rgb).items():
        torch.testing.assert_close(channels, at_once[group], atol=1e-4, rtol=0)
