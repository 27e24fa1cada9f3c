"""The baselines on a plain scene: a red box standing on a grey floor."""

import numpy as np
import pytest

from inference_server.evaluation.baselines import GraphCut, RegionGrowing
from inference_server.evaluation.metrics import iou
from inference_server.evaluation.voxel_graph import build_graph
from inference_server.wire.protocol import Click


def grid(*axes):
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


@pytest.fixture
def scene():
    """positions, colors, truth: floor of 2 m x 2 m, on it the top of a box, 0.6 m x 0.6 m, 0.3 m high."""
    floor = grid(np.arange(0, 2, 0.02), np.arange(0, 2, 0.02), [0.0])
    top = grid(np.arange(0.7, 1.3, 0.02), np.arange(0.7, 1.3, 0.02), [0.3])
    positions = np.concatenate([floor, top]).astype(np.float32)
    truth = positions[:, 2] > 0.1
    colors = np.where(truth[:, None], (200, 30, 30), (120, 120, 120)).astype(np.uint8)
    return positions, colors, truth


def click(positions, x, y, z, positive=True):
    vertex = int(np.argmin(((positions - (x, y, z)) ** 2).sum(1)))
    return Click(tuple(float(v) for v in positions[vertex]), positive, vertex)


@pytest.mark.parametrize("method", [RegionGrowing(), GraphCut()], ids=["region-growing", "graph-cut"])
@pytest.mark.parametrize("coloured", [True, False])
def test_one_click_finds_a_box_that_stands_apart(scene, method, coloured):
    positions, colors, truth = scene
    method.set_scene(positions, colors if coloured else None, 0.05)
    prediction = method.predict([click(positions, 1, 1, 0.3)])
    assert iou(truth, prediction.mask) > 0.95
    np.testing.assert_array_equal(prediction.probabilities, prediction.mask * np.uint8(255))


@pytest.mark.parametrize("method", [RegionGrowing(), GraphCut()], ids=["region-growing", "graph-cut"])
def test_clicked_vertices_are_obeyed_the_later_click_winning(scene, method):
    positions, colors, _ = scene
    method.set_scene(positions, colors, 0.05)
    inside = click(positions, 1, 1, 0.3)
    assert not method.predict([inside, Click(inside.position, False, inside.vertex)]).mask[inside.vertex]
    assert method.predict([Click(inside.position, False, inside.vertex), inside]).mask[inside.vertex]
    assert not method.predict([Click(inside.position, False, inside.vertex)]).mask.any()


def test_a_negative_click_parts_an_even_floor(scene):
    positions, colors, truth = scene
    method = RegionGrowing()
    method.set_scene(positions, colors, 0.05)
    mask = method.predict([click(positions, 0.3, 0.3, 0), click(positions, 1.7, 1.7, 0, False)]).mask
    assert mask[click(positions, 0.4, 0.2, 0).vertex]
    assert not mask[click(positions, 1.8, 1.6, 0).vertex]
    assert not mask[truth].any()


def test_a_negative_click_moves_the_cut():
    # A strip of even grey: without seeds of the background all within reach is object, with one it is cut
    # where the voxels are nearer to it.
    positions = grid(np.arange(12) / 16, [0.0], [0.0]).astype(np.float32)
    method = GraphCut()
    method.PRIOR = 5.0  # the prior rules: an even strip has no edge to cut at
    method.set_scene(positions, None, 1 / 16)
    first = click(positions, 0, 0, 0)
    assert method.predict([first]).mask.sum() == 8  # those less than 8 voxels away
    mask = method.predict([first, click(positions, 7 / 16, 0, 0, False)]).mask
    np.testing.assert_array_equal(np.flatnonzero(mask), [0, 1, 2, 3])


def test_the_graph_joins_voxels_that_touch_and_averages_their_points():
    positions = np.array([[0, 0, 0], [0.04, 0, 0], [0.07, 0, 0], [0.17, 0, 0]], np.float32)
    colors = np.array([[0, 0, 0], [255, 255, 255], [51, 0, 0], [0, 0, 0]], np.uint8)
    graph = build_graph(positions, colors, 0.05)
    np.testing.assert_allclose(graph.centroids[:, 0], [0.02, 0.07, 0.17], atol=1e-6)
    np.testing.assert_allclose(graph.colors[:2], [[0.5, 0.5, 0.5], [0.2, 0, 0]])
    np.testing.assert_array_equal(graph.voxel_of, [0, 0, 1, 2])
    np.testing.assert_array_equal(graph.pairs, [[0, 1]])
