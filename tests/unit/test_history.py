"""The answer to the clicks before: what is kept of it, and that a network is told it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from inference_server.history import LONGEST, OUTSIDE, Answer, Seen, Sight, steps_before
from inference_server.models.checkpoints import save_weights
from inference_server.models.inputs import channel_slices
from inference_server.models.registry import ModelConfig, register
from inference_server.predictor import Predictor
from inference_server.recent import RecentlyUsed
from inference_server.scene import TileBox
from inference_server.wire.protocol import Click


def answer(first, scores):
    return Answer.of(np.arange(first, first + len(scores), dtype=np.int32), torch.tensor(scores))


class TestAnswer:
    def test_it_is_found_again_at_the_same_voxels(self):
        kept = answer(10, [1.5, -2.0, 0.25])
        assert kept.at(kept.voxels).tolist() == [1.5, -2.0, 0.25]

    def test_other_voxels_were_not_in_the_mask(self):
        assert answer(10, [1.5, -2.0]).at(np.array([3, 11, 12, 400])).tolist() == [OUTSIDE, -2.0, OUTSIDE, OUTSIDE]


class TestSeen:
    far, close = answer(10, [1.5, -2.0]), answer(0, [3.0, 4.0, 5.0])
    sight = Sight(TileBox(0, 0, 3, 3), 0.4)
    voxels = np.array([10, 10, 11, 12], np.int32)

    def test_a_closer_look_is_told_the_one_before_it(self):
        seen = Seen(self.far, self.sight, self.close)
        assert seen.closer(self.sight, self.voxels) is self.close
        assert seen.bytes == self.far.bytes + self.close.bytes

    def test_where_there_was_none_it_is_told_the_answer_on_the_scans_own_voxels(self):
        for seen in (Seen(self.far), Seen(self.far, replace(self.sight, share=0.6), self.close)):
            told = seen.closer(self.sight, self.voxels)
            assert told.at(np.array([0, 2, 3, 1])).tolist() == [1.5, -2.0, OUTSIDE, 1.5]
            assert not len(told.inside)


class TestKeptAnswers:
    def test_the_ones_asked_for_longest_ago_go_first(self):
        kept = RecentlyUsed(most_bytes=2 * answer(0, [0.0] * 100).bytes)
        for name in "ab":
            kept.put((name,), answer(0, [0.0] * 100))
        assert kept.get(("a",))
        kept.put(("c",), answer(0, [0.0] * 100))
        assert kept.get(("a",)) and kept.get(("c",)) and kept.get(("b",)) is None

    def test_the_newest_is_kept_however_large(self):
        kept = RecentlyUsed(most_bytes=10)
        kept.put(("a",), answer(0, [0.0] * 100))
        assert kept.get(("a",))

    def test_an_answer_put_twice_counts_once(self):
        kept = RecentlyUsed(most_bytes=2 * answer(0, [0.0] * 100).bytes)
        for name in ("a", "b", "b", "b"):
            kept.put((name,), answer(0, [0.0] * 100))
        assert kept.get(("a",))

    def test_what_is_kept_no_longer_counts_no_longer(self):
        kept = RecentlyUsed(most_bytes=2 * answer(0, [0.0] * 100).bytes)
        for name in "abc":
            kept.put((name,), answer(0, [0.0] * 100))
            kept.pop((name,))
        for name in "de":
            kept.put((name,), answer(0, [0.0] * 100))
        assert kept.get(("d",)) and kept.get(("e",))


class TestSteps:
    def test_each_step_has_those_before_it(self):
        a, b, c = CLICKS[0], CLICKS[1], replace(CLICKS[2], joined=True)
        assert steps_before([a]) == []
        assert steps_before([a, b, c, a]) == [([a], False), ([a, b, c], False)]

    def test_many_steps_are_answered_together_first(self):
        clicks = [CLICKS[0]] * (LONGEST + 3)
        assert [(len(before), alone) for before, alone in steps_before(clicks)] == [
            (LONGEST, True),
            (LONGEST + 1, False),
            (LONGEST + 2, False),
        ]
        assert len(steps_before(clicks[:LONGEST])) == LONGEST - 1


class Spreading(nn.Module):
    """Finds what lies near the positive clicks, and more of it wherever it was told of a last answer."""

    asked = 0

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))

    def forward(self, points, features):
        Spreading.asked += 1
        where = channel_slices("rgb-feedback")
        nearness = features[:, where["click_distance"].start + 1].float()
        told = features[:, where["previous"]].float()
        score = self.gain * (nearness - 0.6) + 4 * (told[:, 0] > 0) + told[:, 1]
        return torch.stack([-score, score], 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    register("spreading-for-tests", lambda config, engine: Spreading())
    path = tmp_path_factory.mktemp("weights") / "spreading.safetensors"
    save_weights(path, Spreading().state_dict(), ModelConfig("spreading-for-tests", "rgb-feedback"))
    return path


@pytest.fixture
def predictor(weights):
    rng = np.random.default_rng(0)
    positions = np.column_stack([rng.uniform(0, 4, (15_000, 2)), rng.normal(0, 0.003, 15_000)]).astype(np.float32)
    predictor = Predictor(weights, "cpu")
    predictor.set_scene(positions, np.full((15_000, 3), 128, np.uint8))
    return predictor


CLICKS = [
    Click((2.0, 3.0, 0.0), True),
    Click((2.5, 3.0, 0.0), True),
    Click((3.5, 3.0, 0.0), False),
    Click((2.0, 2.0, 0.0), True),
]


class TestPredictor:
    def test_a_click_corrects_the_last_answer(self, predictor):
        alone = predictor.predict([CLICKS[0], CLICKS[0]]).mask
        assert alone.sum() > predictor.predict([CLICKS[0]]).mask.sum()

    def test_each_further_click_costs_one_pass(self, predictor):
        for count in (1, 2, 3, 4):
            before = Spreading.asked
            predictor.predict(CLICKS[:count])
            assert Spreading.asked - before == 1

    def test_clicks_given_together_are_answered_together(self, predictor):
        together = [CLICKS[0], replace(CLICKS[1], joined=True), replace(CLICKS[3], joined=True)]
        before = Spreading.asked
        predictor.predict(together)
        assert Spreading.asked - before == 1
        predictor.predict([*together, CLICKS[2]])
        assert Spreading.asked - before == 2

    def test_an_answer_depends_on_the_clicks_alone(self, predictor):
        """Kept answers or none, other objects in between or not: the same mask."""
        followed = [predictor.predict(CLICKS[:count]) for count in (1, 2, 3, 4)]
        predictor.predict([Click((0.5, 0.5, 0.0), True)])
        assert np.array_equal(predictor.predict(CLICKS[:2]).probabilities, followed[1].probabilities)
        predictor.release_memory()
        at_once = predictor.predict(CLICKS)
        assert np.array_equal(at_once.mask, followed[3].mask)
        assert np.array_equal(at_once.probabilities, followed[3].probabilities)

    def test_the_time_for_many_clicks_is_bounded(self, predictor):
        before = Spreading.asked
        predictor.predict([CLICKS[index % 2] for index in range(45)])
        assert Spreading.asked - before <= LONGEST + 1

    def test_negative_clicks_alone_have_no_answer_to_be_told(self, predictor):
        first = predictor.predict([CLICKS[2], CLICKS[0]])
        predictor.release_memory()
        assert np.array_equal(predictor.predict([CLICKS[2], CLICKS[0]]).mask, first.mask)
