"""From clicks to a mask, by a predictor with a real network of random weights and a small registered one."""

import numpy as np
import pytest
import torch
from torch import nn

from inference_server.errors import UserError
from inference_server.models.checkpoints import save_weights
from inference_server.models.registry import ModelConfig, build_model, model_names, register
from inference_server.predictor import Predictor
from inference_server.wire.protocol import Click


class NearestClick(nn.Module):
    """A point-based network: the object is what lies within 0.6 m of the nearest positive click (1.2 m channel)."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, points, features):
        assert len(points) == len(features)
        nearness = features[:, 6 + 2 + 1]  # rgb, offset, cubes, then exp(-d / 1.2) of the positive clicks
        score = self.gain * (nearness.float() - torch.exp(torch.tensor(-0.5)))
        return torch.stack([-score, score], 1)


@pytest.fixture(scope="module")
def sphere_weights(tmp_path_factory):
    register("nearest-click-for-tests", lambda config, engine: NearestClick())
    path = tmp_path_factory.mktemp("weights") / "sphere.safetensors"
    config = ModelConfig("nearest-click-for-tests", "rgb-context")
    save_weights(path, NearestClick().state_dict(), config)
    return path


class HungryNearestClick(NearestClick):
    """The same, for no more than 6,000 points at a time."""

    def forward(self, points, features):
        if len(points) > 6000:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(points, features)


@pytest.fixture(scope="module")
def unet_weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "unet.safetensors"
    config = ModelConfig("MinkUNetSmall", "rgb-surface")
    save_weights(path, build_model(config).state_dict(), config)
    return path


def plane(width=3.0, points=20000, seed=0):
    rng = np.random.default_rng(seed)
    positions = np.column_stack([rng.uniform(0, width, (points, 2)), rng.normal(0, 0.003, points)])
    return positions.astype(np.float32), np.full((points, 3), 128, np.uint8)


def click(positions, vertex, positive=True):
    return Click(tuple(float(v) for v in positions[vertex]), positive, int(vertex))


def test_any_network_with_a_forward_can_be_registered_and_used(sphere_weights):
    assert "nearest-click-for-tests" in model_names()
    positions, colors = plane()
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(positions, colors)
    middle = int(np.abs(positions[:, :2] - 1.5).sum(1).argmin())
    prediction = predictor.predict([click(positions, middle)])
    distance = np.linalg.norm(positions - positions[middle], axis=1)
    assert prediction.mask[distance < 0.4].all() and not prediction.mask[distance > 0.75].any()
    assert prediction.probabilities[middle] == 255


def test_clicked_vertices_get_their_label_and_the_later_click_wins(sphere_weights):
    positions, colors = plane()
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(positions, colors)
    far = int(np.linalg.norm(positions[:, :2] - 2.9, axis=1).argmin())
    near = int(np.linalg.norm(positions[:, :2] - 0.5, axis=1).argmin())
    mask = predictor.predict([click(positions, near), click(positions, far), click(positions, far, False)]).mask
    assert mask[near] and not mask[far]
    mask = predictor.predict([click(positions, near), click(positions, near, False)]).mask
    assert not mask[near]


def test_a_click_without_a_vertex_means_the_nearest_point(sphere_weights):
    positions, colors = plane()
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(positions, colors)
    first = predictor.predict([Click((1.0, 1.0, 0.0), True), Click((1.2, 1.0, 0.0), False)]).mask
    nearest = int(np.linalg.norm(positions - [1.2, 1.0, 0.0], axis=1).argmin())
    assert not first[nearest]


def test_the_region_grows_with_an_object_that_reaches_its_border(sphere_weights):
    positions, colors = plane(width=12.0, points=60000)
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(positions, colors)
    at = [int(np.linalg.norm(positions[:, :2] - [x, 6], axis=1).argmin()) for x in (4.0, 5.0)]
    small = predictor.predict([click(positions, at[0])])
    assert small.voxels < 20000
    probabilities = predictor.predict([click(positions, v) for v in at]).probabilities
    assert probabilities[np.linalg.norm(positions[:, :2] - [11, 6], axis=1).argmin()] == 0


def test_clicks_too_far_apart_are_refused_with_the_way_out(sphere_weights, monkeypatch):
    monkeypatch.setattr("inference_server.boxes.MAX_CLICKED_VOXELS", 20_000)
    positions, colors = plane(width=12.0, points=60000)
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(positions, colors)
    ends = [int(np.linalg.norm(positions[:, :2] - [x, x], axis=1).argmin()) for x in (0.5, 11.5)]
    assert predictor.predict([click(positions, ends[0])]).mask.any()
    with pytest.raises(UserError, match=r"11 m apart.*larger voxels, or make two objects"):
        predictor.predict([click(positions, v) for v in ends])


def test_a_region_that_memory_is_too_small_for_is_seen_in_pieces(sphere_weights, tmp_path):
    register("hungry-nearest-click-for-tests", lambda config, engine: HungryNearestClick())
    config = ModelConfig("hungry-nearest-click-for-tests", "rgb-surface")
    save_weights(tmp_path / "hungry.safetensors", NearestClick().state_dict(), config)
    positions, colors = plane(width=5.0, points=40_000)
    clicks = [click(positions, int(np.linalg.norm(positions[:, :2] - [2.5, 2.5], axis=1).argmin()))]
    answers = []
    for weights in (sphere_weights, tmp_path / "hungry.safetensors"):
        predictor = Predictor(weights, "cpu")
        predictor.set_scene(positions, colors)
        answers.append(predictor.predict(clicks))
    assert answers[1].voxels > 6000 and answers[1].mask.any()
    assert np.array_equal(answers[0].probabilities, answers[1].probabilities)


def test_only_negative_clicks_are_an_empty_mask(sphere_weights):
    positions, colors = plane()
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(positions, colors)
    assert not predictor.predict([click(positions, 5, False)]).mask.any()


def test_a_warm_predictor_answers_as_a_fresh_one(unet_weights):
    positions, colors = plane()
    clicks = [click(positions, 100), click(positions, 9000), click(positions, 500, False)]
    warm = Predictor(unet_weights, "cpu", dtype="float32")
    warm.set_scene(positions, colors)
    for n in range(1, 4):
        warm.predict(clicks[:n])
    fresh = Predictor(unet_weights, "cpu", dtype="float32")
    fresh.set_scene(positions, colors)
    assert np.array_equal(warm.predict(clicks).probabilities, fresh.predict(clicks).probabilities)


def test_the_order_of_the_points_does_not_matter(unet_weights):
    positions, colors = plane(points=4000)
    colors = np.random.default_rng(1).integers(0, 256, colors.shape, dtype=np.uint8)
    order = np.random.default_rng(2).permutation(len(positions))
    predictor = Predictor(unet_weights, "cpu", dtype="float32")
    predictor.set_scene(positions, colors)
    straight = predictor.predict([click(positions, 7)]).probabilities
    predictor.set_scene(positions[order], colors[order])
    shuffled = predictor.predict([click(positions[order], int(np.flatnonzero(order == 7)[0]))]).probabilities
    assert np.abs(straight[order].astype(int) - shuffled).max() <= 1


@pytest.mark.parametrize(
    ("clicks", "sentence"),
    [
        ([], "no clicks"),
        ([Click((float("nan"), 0.0, 0.0), True)], "finite"),
        ([Click((0.0, 0.0, 0.0), True, 10**6)], "vertex"),
        ([Click((500.0, 0.0, 0.0), True)], "on the scan"),
    ],
)
def test_clicks_that_make_no_sense_are_told_in_a_sentence(sphere_weights, clicks, sentence):
    predictor = Predictor(sphere_weights, "cpu")
    predictor.set_scene(*plane(points=500))
    with pytest.raises(UserError, match=sentence):
        predictor.predict(clicks)


def test_predicting_without_a_scan_is_told_in_a_sentence(sphere_weights):
    with pytest.raises(UserError, match="set_scene"):
        Predictor(sphere_weights, "cpu").predict([Click((0.0, 0.0, 0.0), True)])


def test_a_network_with_colours_refuses_a_scan_without(unet_weights):
    positions, _ = plane(points=500)
    predictor = Predictor(unet_weights, "cpu")
    predictor.set_scene(positions, None)
    with pytest.raises(UserError, match="need colours"):
        predictor.predict([click(positions, 3)])


@pytest.mark.parametrize("device", ["cuda:7", "toaster"])
def test_a_device_that_is_not_here_is_told_in_a_sentence(unet_weights, device):
    if device.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match="cannot be used here"):
        Predictor(unet_weights, device)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
def test_the_gpu_answers_as_the_cpu(unet_weights):
    positions, colors = plane()
    answers = []
    for device in ("cpu", "cuda"):
        predictor = Predictor(unet_weights, device, dtype="float32")
        predictor.set_scene(positions, colors)
        answers.append(predictor.predict([click(positions, 100)]).probabilities.astype(int))
    assert np.abs(answers[0] - answers[1]).max() <= 2


def test_colours_that_are_all_the_same_are_answered_as_none():
    positions, colors = plane()
    clicks = [click(positions, 0)]
    predictor = Predictor(device="cpu")
    predictor.set_scene(positions, None)
    expected = predictor.predict(clicks).probabilities
    predictor.set_scene(positions, colors)
    assert (predictor.predict(clicks).probabilities == expected).all()
    predictor.set_scene(positions, np.random.default_rng(0).integers(0, 255, colors.shape, np.uint8))
    assert (predictor.predict(clicks).probabilities != expected).any()
