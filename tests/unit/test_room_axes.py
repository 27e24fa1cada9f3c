"""The directions that a room's walls, floor and ceiling face."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from inference_server.room_axes import room_axes


def room(seed: int = 0) -> np.ndarray:
    """Floor and two walls, 5 x 4 x 2.5 m, with half a centimetre of noise."""
    rng = np.random.default_rng(seed)
    sides = [((5, 4, 0), 20_000), ((5, 0, 2.5), 12_000), ((0, 4, 2.5), 10_000)]
    points = np.concatenate([rng.uniform(0, 1, (count, 3)) * size for size, count in sides])
    return points + rng.normal(0, 0.005, points.shape)


def test_they_are_found_however_the_room_is_turned():
    for seed in range(5):
        turn = Rotation.random(random_state=seed).as_matrix()
        axes = room_axes(room(seed) @ turn.T)
        assert axes @ axes.T == pytest.approx(np.eye(3), abs=1e-9)
        # each axis is one of the room's, but for sign and order
        assert np.sort(np.abs(axes @ turn), axis=1) == pytest.approx(np.array([[0, 0, 1]] * 3), abs=0.01)


def test_one_surface_alone_has_none():
    rng = np.random.default_rng(0)
    assert room_axes(rng.uniform(0, 1, (20_000, 3)) * (5, 4, 0)) is None


def test_a_ball_and_scattered_points_have_none():
    rng = np.random.default_rng(0)
    ball = rng.normal(size=(40_000, 3))
    assert room_axes(2 * ball / np.linalg.norm(ball, axis=1, keepdims=True)) is None
    assert room_axes(rng.uniform(0, 3, (40_000, 3))) is None


def test_surfaces_at_other_angles_have_none():
    rng = np.random.default_rng(0)
    roof = rng.uniform(0, 1, (20_000, 3)) * (5, 4, 0)
    slopes = [roof @ Rotation.from_rotvec([np.radians(angle), 0, 0]).as_matrix().T for angle in (0, 35, 70, 110, 145)]
    assert room_axes(np.concatenate(slopes)) is None


@pytest.mark.parametrize("count", [1, 2, 50])
def test_few_points_have_none(count):
    assert room_axes(np.random.default_rng(0).uniform(0, 1, (count, 3))) is None
