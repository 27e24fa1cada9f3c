"""Online adaptation: what it learns from, what it leaves alone, and the importance that it is held back by."""

import json

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from inference_server.__main__ import app
from inference_server.adaptation import (
    ADAPTATIONS,
    AdaptationConfig,
    Example,
    _Adam,
    _believed,
    _parts,
    follow_clicks,
    log_odds,
)
from inference_server.data.scans import Scan, write_ply
from inference_server.errors import UserError
from inference_server.evaluation import settings
from inference_server.evaluation.methods import identify
from inference_server.importance import importance_file, measure, read_importance, write_importance
from inference_server.models.checkpoints import WEIGHTS_FOLDER, save_weights
from inference_server.models.inputs import ClickTensors
from inference_server.models.points import Points
from inference_server.models.registry import ModelConfig, build_model
from inference_server.predictor import Predictor
from inference_server.wire.protocol import Click


class Linear(nn.Module):
    """Scores from the channels of `xyz` (x, y, z, two click cubes) by one matrix; its batch norm must not move."""

    def __init__(self):
        super().__init__()
        self.matrix = nn.Parameter(torch.tensor([[0.0] * 5, [-1.0, 0.0, 0.0, 3.0, -3.0]]).t().contiguous())
        self.unused = nn.Parameter(torch.ones(3))
        self.norm = nn.BatchNorm1d(2)
        self.eval()

    def forward(self, points, features):
        return self.norm(features.to(self.matrix.dtype) @ self.matrix)


def example(*clicks, width=2.0):
    """Voxels every 5 cm along x; clicks are (x, positive)."""
    xyz = torch.zeros(int(width / 0.05), 3)
    xyz[:, 0] = (torch.arange(len(xyz)) + 0.5) * 0.05
    at = torch.zeros(len(clicks), 3)
    at[:, 0] = torch.tensor([x for x, _ in clicks])
    tensors = ClickTensors(at, torch.tensor([positive for _, positive in clicks]))
    return Example(Points(xyz), None, tensors, "xyz", torch.float32)


def everything(model, value=1.0):
    return {name: torch.full_like(parameter, value) for name, parameter in model.named_parameters()}


def test_the_network_learns_what_its_first_clicks_alone_got_wrong():
    model, clicks = Linear(), example((0.1, True), (1.9, True))
    learnt = follow_clicks(model, clicks, {"matrix": torch.zeros(5, 2)}, AdaptationConfig(5e-2, steps=20))
    first = torch.tensor([True, False])
    before, after = log_odds(model, clicks, shown=first), log_odds(model, clicks, learnt, shown=first)
    far = int(1.9 / 0.05)
    assert before[far] < -1 < after[far]
    assert model.matrix.grad is None and torch.equal(model.matrix, Linear().matrix)
    assert int(model.norm.num_batches_tracked) == 0


def test_a_click_that_is_shown_teaches_nothing_that_is_why_some_are_held_out():
    model, clicks = Linear(), example((0.1, True), (1.9, True))
    nothing = {"matrix": torch.zeros(5, 2)}
    far = int(1.9 / 0.05)
    gains = [
        log_odds(model, clicks, follow_clicks(model, clicks, nothing, config), torch.tensor([True, False]))[far]
        for config in (AdaptationConfig(), AdaptationConfig(held_out=False))
    ]
    assert gains[0] > gains[1]


def test_its_steps_are_those_of_adam():
    torch.manual_seed(0)
    ours, theirs = torch.ones(4, requires_grad=True), torch.ones(4, requires_grad=True)
    optimizers = _Adam([ours], 0.1), torch.optim.Adam([theirs], 0.1)
    for _ in range(5):
        gradient = torch.randn(4)
        for value, optimizer in zip((ours, theirs), optimizers, strict=True):
            value.grad = gradient.clone()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("clicks", [[(0.1, True)], [(0.1, False), (1.0, True), (1.5, False)]])
def test_where_nothing_can_be_held_out_nothing_changes(clicks):
    model = Linear()
    learnt = follow_clicks(model, example(*clicks), everything(model))
    assert torch.equal(learnt["matrix"], model.matrix)


def test_positive_clicks_are_held_out_the_last_first_and_negative_ones_always_shown():
    parts = _parts(torch.tensor([True, False, True, True, False]))
    assert [part.tolist() for part in parts] == [[True, True, True, False, True], [True, True, False, False, True]]


def test_the_background_is_doubted_near_positive_clicks_and_the_object_nowhere():
    clicks = example((0.1, True), (1.9, True), (0.9, False), width=8.0)
    first = torch.zeros(len(clicks.points.xyz))
    first[:10] = 1.0
    believed = _believed(clicks, first, doubt=10.0)
    assert torch.equal(believed[:10], torch.ones(10))
    at = [int(x / 0.05) for x in (1.9, 2.4, 7.9)]  # on the click, half a metre from it, far from both
    assert believed[at].tolist() == pytest.approx([0.0, 1 - np.exp(-1), 1.0], abs=0.06)
    assert _believed(clicks, first, doubt=0.0) is None
    assert _believed(example((0.9, False)), first, doubt=10.0) is None


def test_what_is_around_a_missed_click_comes_with_it_where_the_first_prediction_is_doubted():
    model, clicks = Linear(), example((0.1, True), (1.9, True))
    near, nothing = int(1.7 / 0.05), {"matrix": torch.zeros(5, 2)}
    sure, doubting = (
        log_odds(model, clicks, follow_clicks(model, clicks, nothing, AdaptationConfig(5e-2, steps=20, doubt=doubt)))
        for doubt in (0.0, 40.0)
    )
    assert doubting[near] > sure[near] + 0.1


def test_important_weights_are_held_back_and_those_without_importance_stay():
    model, clicks = Linear(), example((0.1, True), (1.9, True))
    drift = [
        (follow_clicks(model, clicks, {"matrix": torch.full((5, 2), value)})["matrix"] - model.matrix).abs().max()
        for value in (0.0, 1e3)
    ]
    assert drift[1] < drift[0] / 3
    assert set(follow_clicks(model, clicks, {"matrix": torch.zeros(5, 2)})) == {"matrix"}


def test_the_later_of_two_clicks_on_a_voxel_is_its_label():
    voxels, labels = example((0.08, True), (0.52, True), (0.53, False)).labels()
    assert dict(zip(voxels.tolist(), labels.tolist(), strict=True)) == {1: 1.0, 10: 0.0}


def test_importance_of_a_linear_layer_by_hand():
    # ||f||^2 averaged over voxels is mean |x W|^2, its gradient 2 mean(x^T x) W; scaled to a mean of 1
    model, samples = Linear(), [example((0.1, True)), example((1.0, True), (0.3, False))]
    scale = 1 / torch.sqrt(model.norm.running_var + model.norm.eps)
    expected = torch.zeros(5, 2)
    for sample in samples:
        x = sample.features()
        expected += (2 * x.t() @ (x @ model.matrix.detach() * scale**2) / len(x)).abs()
    omega = measure(model, samples)
    share = omega["matrix"] / omega["matrix"].sum()
    torch.testing.assert_close(share, expected / expected.sum())
    assert "unused" not in omega
    total = sum(value.sum() for value in omega.values()) / sum(value.numel() for value in omega.values())
    assert float(total) == pytest.approx(1)


class TestFile:
    @pytest.fixture
    def weights(self, tmp_path):
        path = tmp_path / "some.safetensors"
        config = ModelConfig("MinkUNetSmall", "rgb")
        save_weights(path, build_model(config).state_dict(), config)
        return path

    def test_importance_comes_back_within_half_an_octave_from_half_a_byte_each(self, weights):
        rng = torch.Generator().manual_seed(0)
        omega = {"a": torch.exp2(-14 * torch.rand(50, 3, generator=rng)), "b": torch.tensor([3.0, 0.0, 1e-9])}
        path = write_importance(weights, omega)
        assert path == importance_file(weights) and path.stat().st_size < 1000
        read = read_importance(weights)
        assert (read["a"] / omega["a"]).log2().abs().max() <= 0.51
        assert read["b"].tolist() == pytest.approx([3.0, 0.0, 0.0])

    def test_weights_without_importance_are_told_the_command(self, weights):
        with pytest.raises(UserError, match="cannot adapt to clicks.*importance .*some.safetensors SCANS"):
            Predictor(weights, "cpu", adapt=True)

    def test_how_to_adapt_follows_from_the_inputs_of_the_weights_unless_told(self, weights):
        write_importance(weights, {"conv0p1s1.kernel": torch.ones(27, 5, 24)})
        assert Predictor(weights, "cpu", adapt=True)._adapting(coloured=True).config == ADAPTATIONS["strong"]
        told = Predictor(weights, "cpu", adapt=True, adaptation=ADAPTATIONS["paper"])
        assert told._adapting(coloured=True).config == ADAPTATIONS["paper"]
        assert Predictor(device="cpu", adapt=True)._adapting(coloured=True).config == ADAPTATIONS["ours"]
        for name, adaptation, meant in (
            (str(weights), "best", "strong"),
            (str(weights), "ours", "ours"),
            ("default", "best", "ours"),
        ):
            asked = settings.Settings(weights=name, adapt=True, adaptation=adaptation, device="cpu")
            assert identify(asked).adaptation == meant

    def test_importance_of_other_weights_is_refused(self, weights):
        write_importance(weights, {"a": torch.ones(2)})
        config = ModelConfig("MinkUNetSmall", "rgb")
        save_weights(weights, build_model(config).state_dict(), config)
        with pytest.raises(UserError, match="made for other weights than some.safetensors"):
            read_importance(weights)

    @pytest.mark.parametrize("instance", [-1, None])
    def test_scans_without_objects_are_a_sentence_and_leave_the_file_that_is_there(self, weights, tmp_path, instance):
        before = write_importance(weights, {"a": torch.ones(2)}).read_bytes()
        positions = np.random.default_rng(0).uniform(0, 1, (20, 3)).astype(np.float32)
        labels = None if instance is None else np.full(20, instance, np.int32)
        write_ply(tmp_path / "scan.ply", Scan(positions, np.zeros((20, 3), np.uint8), labels))
        words = "no instance labels: it needs" if instance is None else "no object of ten points"
        with pytest.raises(UserError, match=words):
            app(["importance", str(weights), str(tmp_path / "scan.ply"), "--device", "cpu"])
        assert importance_file(weights).read_bytes() == before

    def test_a_file_without_tensors_is_a_sentence(self, weights):
        write_importance(weights, {})
        with pytest.raises(UserError, match="damaged or cut short"):
            read_importance(weights)

    def test_an_evaluation_says_before_it_reads_scans_that_the_weights_cannot_adapt(self, weights, tmp_path):
        with pytest.raises(UserError, match="cannot adapt to clicks"):
            app(["evaluate", str(tmp_path / "no scan"), "--weights", str(weights), "--adapt"])

    @pytest.mark.parametrize("command", [["importance", "default", "scan.ply"], ["rooms", "--out", "scans"]])
    def test_a_negative_seed_is_refused(self, tmp_path, monkeypatch, command):
        monkeypatch.chdir(tmp_path)
        done = CliRunner().invoke(app, [*command, "--seed", "-1"])
        assert done.exit_code == 2 and "--seed" in done.output and not list(tmp_path.iterdir())

    def test_a_truncated_file_is_a_sentence(self, weights):
        path = write_importance(weights, {"a": torch.ones(1000)})
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(UserError, match="damaged or cut short"):
            read_importance(weights)

    @pytest.mark.parametrize("path", sorted(WEIGHTS_FOLDER.glob("*.safetensors")), ids=lambda path: path.stem)
    def test_shipped_weights_have_theirs(self, path):
        names = {name.rpartition(".")[2] for name in read_importance(path)}
        assert names == {"kernel", "bias"}, "of the network whose batch norms are folded"
        assert sum(file.stat().st_size for file in WEIGHTS_FOLDER.iterdir()) < 20e6


@pytest.fixture(scope="module")
def room():
    """A grey floor of 2 m with a red box on it, and voxels of 10 cm: few, so that adapting is quick."""
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(0, 2, (4000, 2)), rng.normal(0, 0.003, 4000)])
    box = rng.uniform(0, 0.5, (2000, 3))
    box[np.arange(2000), rng.integers(0, 3, 2000)] = 0.5
    positions = np.vstack([floor, box + [0.8, 0.8, 0]]).astype(np.float32)
    return positions, np.where(np.arange(6000)[:, None] < 4000, 150, [[180, 40, 40]]).astype(np.uint8), 0.1


class TestPredictor:
    """With the shipped weights."""

    CLICKS = (Click((1.05, 1.05, 0.5), True), Click((0.2, 0.2, 0.0), False), Click((1.3, 1.1, 0.3), True))

    def probabilities(self, room, clicks=CLICKS, adapt=None, told=False):
        predictor = Predictor(device="cpu", adapt=told)
        predictor.set_scene(*room)
        return predictor.predict(clicks, adapt).probabilities

    def test_adapting_changes_an_answer_and_leaves_nothing_behind(self, room):
        predictor = Predictor(device="cpu")
        predictor.set_scene(*room)
        plain = predictor.predict(self.CLICKS)
        adapted = predictor.predict(self.CLICKS, adapt=True)
        assert not np.array_equal(plain.probabilities, adapted.probabilities)
        assert adapted.timing["adaptation"] > 0 == plain.timing["adaptation"]
        assert np.array_equal(predictor.predict(self.CLICKS).probabilities, plain.probabilities)
        fresh = self.probabilities(room, adapt=True)
        assert np.array_equal(fresh, adapted.probabilities)

    def test_a_predictor_can_adapt_unless_told_otherwise(self, room):
        assert np.array_equal(self.probabilities(room, adapt=True), self.probabilities(room, told=True))
        assert np.array_equal(self.probabilities(room, told=True, adapt=False), self.probabilities(room))

    def test_the_first_click_is_answered_as_without_adaptation(self, room):
        one = self.CLICKS[:1]
        assert np.array_equal(self.probabilities(room, clicks=one, adapt=True), self.probabilities(room, clicks=one))

    def test_clicked_vertices_are_obeyed_all_the_same(self, room):
        clicks = [*self.CLICKS, Click(tuple(map(float, room[0][10])), True, 10)]
        assert self.probabilities(room, clicks=clicks, adapt=True)[10] == 255

    def test_a_newest_click_beside_the_scan_is_answered(self, room):
        clicks = [self.CLICKS[0], Click((3.6, 1.0, 0.2), False)]
        assert np.array_equal(self.probabilities(room, clicks, adapt=True), self.probabilities(room, clicks))

    def test_in_bfloat16_the_learnt_weights_keep_float32(self, room):
        predictor = Predictor(device="cpu", dtype="bfloat16")
        scene = predictor.prepare(*room)
        importance = {name: torch.zeros_like(v, dtype=torch.float32) for name, v in predictor.model.named_parameters()}
        importance = {name: value for name, value in importance.items() if "bn" not in name}
        learnt = follow_clicks(predictor.model, predictor.example(scene, self.CLICKS), importance)
        assert {value.dtype for value in learnt.values()} == {torch.float32}
        moved = learnt["final.kernel"] - predictor.model.final.kernel.float()
        assert 0 < float(moved.abs().max()) <= 1.1 * AdaptationConfig().learning_rate * AdaptationConfig().steps

    def test_an_evaluation_with_it_differs_from_the_second_click_on(self, room, tmp_path):
        positions, colors, voxel_size = room
        apart = (np.arange(len(positions)) >= 4000) | (positions[:, 1] < 0.4)  # which takes a second positive click
        write_ply(tmp_path / "room.ply", Scan(positions, colors, apart.astype(np.int32) - 1))
        told = {}
        for options in ([], ["--adapt"]):
            out = tmp_path / f"results{len(told)}"
            command = ["evaluate", str(tmp_path / "room.ply"), "--clicks", "4", "--jobs", "1"]
            done = CliRunner().invoke(app, [*command, "--voxel-size", str(voxel_size), "--out", str(out), *options])
            assert done.exit_code == 0, done.output
            told[bool(options)] = json.loads((out / "objects.jsonl").read_text())["confidences"]
        assert told[True][0] == told[False][0] and told[True][1:] != told[False][1:]

    def test_the_papers_values_are_there_by_name(self):
        assert ADAPTATIONS["paper"].learning_rate == 5e-5 and ADAPTATIONS["paper"].lam == 0.1
        assert not ADAPTATIONS["paper"].held_out


def test_adaptations_are_offered_by_the_names_that_they_have():
    assert tuple(ADAPTATIONS) == settings.ADAPTATIONS


def test_a_strong_adaptation_moves_a_network_farther():
    model, clicks = Linear(), example((0.1, True), (1.9, True))
    far, shown, importance = int(1.9 / 0.05), torch.tensor([True, False]), {"matrix": torch.ones(5, 2)}
    ours, strong = (
        log_odds(model, clicks, follow_clicks(model, clicks, importance, ADAPTATIONS[name]), shown)[far]
        for name in ("ours", "strong")
    )
    assert strong > ours
