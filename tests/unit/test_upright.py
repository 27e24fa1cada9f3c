"""Which way is up: rooms that come overturned or on a side are worked on upright, all else as it is."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from inference_server.predictor import Predictor
from inference_server.scene import Scene
from inference_server.upright import AS_IT_IS, Turned, to_upright
from inference_server.wire.protocol import Click

TURNS = {
    "z down": np.diag([1, -1, -1]),
    "y up": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "y down": np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "x up": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
    "x down": np.array([[0, 0, -1], [1, 0, 0], [0, -1, 0]]),
}
"""Rotations from upright to other axes."""


def surface(rng, corner, size, count):
    return rng.uniform(0, 1, (count, 3)) * size + corner


@pytest.fixture(scope="module")
def room():
    """6 x 4 x 2.6 m: positions, colours, ids: 0 the floor, 1 the ceiling, 2 and 3 walls, 4 to 15 boxes on the floor."""
    rng = np.random.default_rng(0)
    parts = [
        surface(rng, (0, 0, 0), (6, 4, 0.01), 24000),
        surface(rng, (0, 0, 2.6), (6, 4, 0.01), 20000),
        surface(rng, (0, 0, 0), (6, 0.01, 2.6), 9000),
        surface(rng, (0, 0, 0), (0.01, 4, 2.6), 6000),
    ]
    sizes = [len(part) for part in parts]
    for number in range(12):
        corner = (0.8 + 1.3 * (number % 4), 0.6 + 1.1 * (number // 4), 0)
        box = surface(rng, corner, (0.5, 0.5, 0.7), 1500)
        face = rng.integers(3, size=1500)
        box[np.arange(1500), face] = (np.array(corner) + np.array((0.5, 0.5, 0.7)))[face]
        parts.append(box)
        sizes.append(1500)
    labels = np.repeat(np.arange(len(parts)), sizes)
    colors = (np.random.default_rng(1).uniform(40, 220, (len(parts), 3))[labels]).astype(np.uint8)
    return np.concatenate(parts).astype(np.float32), colors, labels


def test_an_upright_room_stays_as_it_is(room):
    assert to_upright(room[0]) is AS_IT_IS


@pytest.mark.parametrize("turn", TURNS)
def test_a_room_of_other_axes_is_turned_upright(room, turn):
    given = room[0] @ TURNS[turn].T
    rotation = to_upright(given)
    assert np.linalg.det(rotation) == pytest.approx(1), "not mirrored"
    assert (rotation @ TURNS[turn])[2].tolist() == [0, 0, 1]


@pytest.mark.parametrize("degrees", [8, 20, 28])
@pytest.mark.parametrize("things", [True, False])
def test_a_room_that_slants_is_set_straight(room, degrees, things):
    """Whatever stands in it, up to 30 degrees."""
    turn = Rotation.from_rotvec(np.radians(degrees) * np.array([0.6, 0.8, 0])).as_matrix()
    positions = room[0] if things else room[0][room[2] < 4]
    rotation = to_upright((positions @ turn.T).astype(np.float32))
    assert (rotation @ turn)[2] == pytest.approx([0, 0, 1], abs=0.02)
    assert rotation @ rotation.T == pytest.approx(np.eye(3), abs=1e-6)


@pytest.mark.parametrize("turn", TURNS)
def test_a_room_that_lies_and_slants_is_turned_upright(room, turn):
    given = TURNS[turn] @ Rotation.from_rotvec([0.3, -0.2, 0.7]).as_matrix()
    rotation = to_upright((room[0] @ given.T).astype(np.float32))
    assert (rotation @ given)[2] == pytest.approx([0, 0, 1], abs=0.02)


@pytest.mark.parametrize("kind", ["ducts and lamps", "beams"])
@pytest.mark.parametrize("things", [0, 2])
def test_what_hangs_from_a_ceiling_does_not_overturn_a_room(kind, things):
    rng = np.random.default_rng(0)
    wide, deep, high = 9, 7, 3

    def box(corner, size, count):
        points, face = rng.uniform(0, 1, (count, 3)), rng.integers(0, 6, count)
        points[np.arange(count), face % 3] = face // 3
        return points * size + corner

    parts = [surface(rng, (0, 0, at), (wide, deep, 0.005), 60_000) for at in (0, high)]
    parts += [surface(rng, (0, 0, 0), (wide, 0.005, high), 20_000)]
    parts += [surface(rng, (at, 0, 0), (0.005, deep, high), 15_000) for at in (0, wide)]
    if kind == "beams":
        parts += [box((0, at, high - 0.5), (wide, 0.15, 0.5), 5000) for at in range(deep)]
    else:
        parts += [box((0.5, 1 + 2 * at, high - 0.75), (wide - 1, 0.4, 0.35), 8000) for at in range(3)]
        parts += [box((1 + 2 * x, 2 + 2 * y, high - 1.1), (1.2, 0.2, 0.1), 800) for x in range(4) for y in range(2)]
    parts += [box((2 + 4 * at, 2 + 3 * at, 0), (0.5, 0.5, 0.8), 1500) for at in range(things)]
    assert to_upright(np.concatenate(parts).astype(np.float32)) is AS_IT_IS


def test_survey_coordinates_change_nothing(room):
    given = room[0].astype(np.float64) @ TURNS["z down"].T + (500_000, 5_500_000, 100)
    assert (to_upright(given) @ TURNS["z down"])[2].tolist() == [0, 0, 1]


@pytest.mark.parametrize("turn", TURNS)
def test_what_is_no_room_stays_as_it_is(room, turn):
    """A box, a wall, a bare floor or ceiling, and what is as large as a house are left alone."""
    positions, _, labels = room
    for part in (labels == 5, labels == 2, labels == 0, labels == 1):
        assert to_upright(positions[part] @ TURNS[turn].T) is AS_IT_IS
    assert to_upright(3 * positions @ TURNS[turn].T) is AS_IT_IS


def test_a_room_with_as_much_above_as_below_stays_as_it_is(room):
    positions, _, labels = room
    hanging = positions[labels >= 4] * np.float32([1, 1, -1]) + np.float32([0, 0, 2.6])
    both = np.concatenate([positions, hanging])
    assert to_upright(both @ TURNS["z down"].T.astype(np.float32)) is AS_IT_IS


def test_rows_are_turned_when_they_are_asked_for(room):
    rotation = TURNS["y up"].astype(np.float32)
    turned = Turned(room[0], rotation)
    rows = np.array([5, 2, 9])
    assert len(turned) == len(room[0]) and turned.shape == room[0].shape
    assert np.array_equal(turned[rows], room[0][rows] @ rotation.T)
    assert np.array_equal(turned[3:7], room[0][3:7] @ rotation.T)
    assert np.array_equal(turned.corners(), [turned[:].min(axis=0), turned[:].max(axis=0)])


def test_a_row_is_turned_to_the_same_place_whichever_come_with_it(room):
    turned = Turned(room[0], Rotation.from_rotvec([0.3, -0.2, 0.7]).as_matrix().astype(np.float32))
    whole = turned[:]
    assert all(np.array_equal(turned[row : row + 1], whole[row : row + 1]) for row in range(0, 5000, 7))


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_scene_is_the_upright_one(room, turn):
    """To the voxel grid's place, which is chosen by the whole of a tile."""
    given = (room[0] @ TURNS[turn].T).astype(np.float32)
    scene = Scene(given, room[1], upright=True)
    back = scene.points + scene.origin.astype(np.float32)
    assert back == pytest.approx(given[scene.order] @ scene.rotation.T, abs=1e-5)
    assert back[:, 2].min() == pytest.approx(0, abs=0.02)
    assert np.array_equal(scene.colors, room[1][scene.order])


@pytest.mark.parametrize("turn", ["z down", "y up", "x down"])
def test_a_click_finds_the_same_box_whatever_the_axes(room, turn):
    positions, colors, labels = room
    predictor = Predictor(device="cpu", dtype="float32")
    masks = []
    for rotation in (np.eye(3), TURNS[turn]):
        given = (positions @ rotation.T).astype(np.float32)
        vertex = int(np.flatnonzero(labels == 9)[0])
        predictor.set_scene(given, colors)
        click = Click(tuple(given[vertex].tolist()), True, vertex)
        prediction = predictor.predict([click])
        by_place = predictor.predict([replace(click, vertex=-1)])
        assert np.array_equal(prediction.mask, by_place.mask)
        masks.append(prediction.mask)
    for mask in masks:
        assert (mask & (labels == 9)).sum() / (mask | (labels == 9)).sum() > 0.6
