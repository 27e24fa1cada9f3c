"""Voxelisation: which voxel a point falls in, and the way back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_server.sparse.voxels import unique_rows, voxelize


def test_points_fall_into_floor_of_their_coordinates_also_below_zero():
    points = torch.tensor([[0.01, 0.01, 0.01], [-0.01, 0.0, 0.0], [0.049, 0.0, 0.0], [0.051, 0.0, 0.0]])
    voxels = voxelize(points, 0.05)
    assert voxels.coords[voxels.inverse, 1].tolist() == [0, -1, 0, 1]
    assert voxels.counts.sum() == 4


def test_mean_averages_the_points_of_each_voxel():
    voxels = voxelize(torch.tensor([[0.01, 0, 0], [0.03, 0, 0], [0.2, 0, 0]]), 0.05)
    means = voxels.mean(torch.tensor([[1.0], [3.0], [7.0]]))
    assert means[voxels.inverse].squeeze(1).tolist() == [2.0, 2.0, 7.0]


def test_the_mean_of_one_point_a_voxel_is_the_point_to_the_bit():
    points, values = torch.rand(50, 3), torch.randn(50, 4)
    voxels = voxelize(points, 1e-4)
    means = voxels.mean(values)
    assert len(means) == 50 and torch.equal(means[voxels.inverse], values)


def test_the_same_place_in_two_scenes_is_two_voxels():
    voxels = voxelize(torch.zeros(2, 3), 0.05, torch.tensor([0, 1]))
    assert voxels.coords.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e12])
def test_points_without_a_place_are_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        voxelize(torch.tensor([[0.0, 0.0, bad]]), 0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.integers(-(2**20), 2**20)] * 4), min_size=1, max_size=40))
def test_unique_rows_agrees_with_numpy(rows):
    expected, inverse, counts = np.unique(np.array(rows), axis=0, return_inverse=True, return_counts=True)
    found = unique_rows(torch.tensor(rows))
    assert found[0].tolist() == expected.tolist()
    assert found[1].tolist() == inverse.reshape(-1).tolist()
    assert found[2].tolist() == counts.tolist()


def test_unique_rows_of_a_box_beyond_64_bit_keys():
    far = 2**40
    rows = torch.tensor([[0, far, far, far], [0, -far, -far, -far], [0, far, far, far]])
    coords, inverse, _ = unique_rows(rows)
    assert coords[inverse].tolist() == rows.tolist() and len(coords) == 2
