"""Metrics on cases small enough to compute by hand."""

import numpy as np
import pytest

from inference_server.evaluation.metrics import (
    AP_THRESHOLDS,
    Proposal,
    average_precision,
    clicks_to_reach,
    interval,
    iou,
)


def test_iou_is_intersection_over_union():
    truth = np.array([1, 1, 1, 0, 0], bool)
    assert iou(truth, np.array([0, 1, 1, 1, 0], bool)) == 2 / 4
    assert iou(truth, truth) == 1
    assert iou(truth, ~truth) == 0
    assert iou(np.zeros(3, bool), np.zeros(3, bool)) == 0


@pytest.mark.parametrize(
    "curve, target, expected",
    [
        ([0.5, 0.8, 0.7, 0.9], 0.80, 2),  # the first time counts, though it gets worse again
        ([0.5, 0.79999, 0.85], 0.80, 3),
        ([0.9, 0.1, 0.1], 0.85, 1),
        ([0.1] * 20, 0.80, 20),  # never reached: the cap
        ([0.1] * 20 + [0.95], 0.80, 20),  # clicks beyond the cap do not count
        ([0.1, 0.2, 0.3], 0.80, 3),  # fewer clicks than the cap: all of them
    ],
)
def test_clicks_to_reach(curve, target, expected):
    assert clicks_to_reach(curve, target) == expected


def test_intervals_hold_the_mean_and_are_the_same_each_time():
    values = np.random.default_rng(3).random(50)
    low, high = interval(values)
    assert low < values.mean() < high
    assert interval(values) == (low, high)
    # 1.96 standard errors of a mean of 50
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(50), rel=0.1)
    assert interval(np.full(7, 0.25)) == (0.25, 0.25)


def proposals(*pairs):
    return [Proposal(confidence, overlaps) for confidence, overlaps in pairs]


def test_ap_of_perfect_proposals_is_one():
    found = proposals((0.9, {1: 0.8}), (0.4, {2: 0.7}))
    assert average_precision([([1, 2], found)], 0.5) == 1


def test_ap_of_one_hit_before_a_false_proposal_with_one_object_missed():
    # recall 0.5, 0.5, 0 at precision 0.5, 1, 1: central steps 0, 0.25, 0.25
    scene = ([1, 2], proposals((0.9, {1: 0.8}), (0.8, {2: 0.3})))
    assert average_precision([scene], 0.5) == pytest.approx(0.5)


def test_ap_falls_where_the_false_proposal_is_the_more_confident():
    # recall 0.5, 0, 0 at precision 0.5, 0, 1: central steps 0.25, 0.25, 0
    scene = ([1, 2], proposals((0.8, {1: 0.8}), (0.9, {2: 0.3})))
    assert average_precision([scene], 0.5) == pytest.approx(0.125)


def test_a_second_proposal_on_the_same_object_is_false():
    # recall 1, 1, 0 at precision 0.5, 1, 1: central steps 0, 0.5, 0.5
    scene = ([1], proposals((0.9, {1: 0.8}), (0.8, {1: 0.9})))
    assert average_precision([scene], 0.5) == pytest.approx(1.0)
    # after a more confident hit on another object, the double costs precision in the middle:
    # scores .9 (1), .8 (1 again), .7 (2): recall 1, .5, .5, 0 at precision 2/3, 1/2, 1, 1
    # central steps .25, .25, .25, .25
    scene = ([1, 2], proposals((0.9, {1: 0.8}), (0.8, {1: 0.9}), (0.7, {2: 0.9})))
    assert average_precision([scene], 0.5) == pytest.approx((2 / 3 + 1 / 2 + 1 + 1) / 4)


def test_equal_scores_are_one_threshold():
    # both kept or none: recall 0.5, 0 at precision 0.5, 1: central steps 0.25, 0.25
    scene = ([1, 2], proposals((0.5, {1: 0.8}), (0.5, {2: 0.3})))
    assert average_precision([scene], 0.5) == pytest.approx(0.25 * 0.5 + 0.25)


def test_the_overlap_must_exceed_the_threshold():
    scene = ([1], proposals((0.9, {1: 0.5})))
    assert average_precision([scene], 0.5) == 0
    assert average_precision([scene], 0.25) == 1


def test_a_proposal_may_find_another_object_than_the_one_it_was_clicked_for():
    scene = ([1, 2], proposals((0.9, {2: 0.9}), (0.8, {2: 0.1})))
    assert average_precision([scene], 0.5) == pytest.approx(0.5)


def test_a_double_of_one_object_may_find_another():
    # both proposals meet object 1 with more than a quarter; the second one is what finds object 2
    scene = ([1, 2], proposals((0.9, {1: 0.6}), (0.8, {1: 0.3, 2: 0.4})))
    # scores .9 (1), .8 (double of 1), .8 (2): recall 1, .5, 0 at precision 2/3, 1, 1; central steps .25, .5, .25
    assert average_precision([scene], 0.25) == pytest.approx(0.25 * 2 / 3 + 0.5 + 0.25)
    assert average_precision([scene], 0.5) == pytest.approx(0.25 + 0.25)


def test_scenes_are_ranked_together():
    one, two = ([1], proposals((0.9, {1: 0.9}))), ([1], proposals((0.95, {1: 0.1})))
    # scores .95 false, .9 right, one missed
    assert average_precision([one, two], 0.5) == pytest.approx(0.125)


def test_no_objects_have_no_ap():
    assert np.isnan(average_precision([([], [])], 0.5))


def test_ap_thresholds_go_from_one_half_to_95_percent():
    assert AP_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
