"""Simulated clicks: the deepest error, by brute force the same, and the paper's random first clicks."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from inference_server.simulation import ClickSimulator, initial_clicks


def line(*values):
    return np.array([[x, 0, 0] for x in values], float)


def mask(count, *vertices):
    out = np.zeros(count, bool)
    out[list(vertices)] = True
    return out


def test_the_first_click_is_the_object_s_deepest_point():
    positions = line(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    truth = mask(10, 2, 3, 4, 5, 6)  # neighbours outside at 1 and 7: vertex 4 is 3 m from both
    click = ClickSimulator(positions).next_click(truth, np.zeros(10, bool))
    assert (click.vertex, click.positive, click.position) == (4, True, (4.0, 0.0, 0.0))


def test_a_deeper_wrong_point_gets_a_negative_click():
    positions = line(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
    truth = mask(10, 0, 1)
    prediction = mask(10, 0, 4, 5, 6, 7, 8)  # misses 1 (1 m deep), wrong from 4 to 8 (6 is 3 m deep)
    click = ClickSimulator(positions).next_click(truth, prediction)
    assert (click.vertex, click.positive) == (6, False)


def test_missed_points_win_a_draw():
    positions = line(0, 1, 2, 3, 4, 5)
    click = ClickSimulator(positions).next_click(mask(6, 0, 1), mask(6, 0, 4))
    assert (click.vertex, click.positive) == (1, True)


def test_wrong_points_bound_missed_ones():
    # 2 is missed; its nearest point that is not missed is the wrong one at 2.4, not the right one at 0.
    positions = line(0, 2, 2.4, 9, 9.3)
    click = ClickSimulator(positions).next_click(mask(5, 0, 1), mask(5, 0, 2))
    assert (click.vertex, click.positive) == (1, True)
    assert ClickSimulator(positions).deepest(mask(5, 1)) == (1, pytest.approx(0.4))


def test_no_error_means_no_click():
    truth = mask(4, 1)
    assert ClickSimulator(line(0, 1, 2, 3)).next_click(truth, truth) is None


def test_an_object_that_is_the_whole_scan_is_clicked_in_its_middle():
    click = ClickSimulator(line(0, 1, 2.1, 3, 4)).next_click(np.ones(5, bool), np.zeros(5, bool))
    assert (click.vertex, click.positive) == (2, True)


def test_points_in_one_place():
    click = ClickSimulator(np.ones((5, 3))).next_click(mask(5, 3), np.zeros(5, bool))
    assert (click.vertex, click.positive) == (3, True)


def brute_force(positions, error):
    vertices = np.flatnonzero(error)
    depth, _ = cKDTree(positions[~error]).query(positions[vertices])
    return int(vertices[np.argmax(depth)]), float(depth.max())


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 3000),
    shape=st.sampled_from(["uniform", "plane", "lattice", "clusters", "duplicates"]),
    error=st.sampled_from(["ball", "half", "noise", "rare", "nearly all"]),
)
@settings(max_examples=200, deadline=None)
def test_the_deepest_error_is_that_of_brute_force(seed, count, shape, error):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1, 1, (count, 3)) * rng.choice([0.01, 1, 50])
    if shape == "plane":
        positions[:, 2] *= 1e-3
    elif shape == "lattice":
        positions = rng.integers(0, 12, (count, 3)) * 0.05
    elif shape == "clusters":
        positions = positions * 0.01 + rng.choice(positions, count)
    elif shape == "duplicates":
        positions = rng.choice(positions[: max(2, count // 3)], count)
    distance = np.linalg.norm(positions - positions[0], axis=1)
    wrong = {
        "ball": distance <= np.quantile(distance, 0.3),
        "half": positions[:, 0] < np.median(positions[:, 0]),
        "noise": rng.random(count) < 0.5,
        "rare": rng.random(count) < 0.01,
        "nearly all": rng.random(count) < 0.99,
    }[error]
    wrong[0], wrong[-1] = True, False
    assert ClickSimulator(positions).deepest(wrong) == brute_force(positions, wrong)


def test_a_click_on_a_scan_of_300_000_points_takes_milliseconds():
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(0, 9, (300_000, 2)), rng.normal(0, 0.005, 300_000)])
    simulator = ClickSimulator(floor)
    truth = np.linalg.norm(floor[:, :2] - (4, 4), axis=1) < 2.5
    prediction = np.linalg.norm(floor[:, :2] - (4.1, 4), axis=1) < 2.5
    seconds = []
    for _ in range(5):
        start = time.process_time()
        simulator.next_click(truth, prediction)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.15  # 0.03 s on an idle core; a KD-tree over all points needs 0.5 s


def test_initial_clicks_lie_on_the_object_and_around_it():
    rng = np.random.default_rng(1)
    positions = rng.uniform(-3, 3, (20_000, 3))
    truth = (np.abs(positions) < (1, 0.5, 0.5)).all(1)
    clicks = initial_clicks(positions, truth, rng, positives=40, negatives=60)
    assert [click.positive for click in clicks] == [True] * 40 + [False] * 60
    assert all(truth[click.vertex] == click.positive for click in clicks)
    assert all(click.position == tuple(positions[click.vertex]) for click in clicks)
    around = np.array([click.position for click in clicks if not click.positive])
    assert (np.abs(around) <= np.array([1, 0.5, 0.5]) * 1.4).all()
    assert len({click.vertex for click in clicks}) == 100


def test_fewer_points_give_fewer_initial_clicks():
    clicks = initial_clicks(line(0, 1, 9), mask(3, 0, 1), np.random.default_rng(0), 5, 5)
    assert [click.vertex for click in clicks if not click.positive] == []
    assert sorted(click.vertex for click in clicks) == [0, 1]
