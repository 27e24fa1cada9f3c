"""The virtual depth camera: it sees what is in front, from where a person can stand, and measures it badly."""

import numpy as np
import pytest

from inference_server.data.rooms import camera, sensor
from inference_server.data.rooms import paint as P
from inference_server.data.rooms.plan import make_plan
from inference_server.data.rooms.scene import HeightMap, Scene
from inference_server.data.rooms.surface import box, join, lathe, quad

GREY = (0.5, 0.5, 0.5)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def plain_box(size, rng, density=8000):
    return box(size, P.plain(GREY, rng), density, rng)


def test_primitives_have_the_area_they_should(rng):
    cone = lathe([(0.5, 0), (0, 1.0)], P.plain(GREY, rng), 20_000, rng)
    assert len(cone) == pytest.approx(20_000 * np.pi * 0.5 * np.hypot(0.5, 1), rel=0.01)
    # Uniform on the surface: half of it lies below the height where the remaining cone has half the area.
    assert np.mean(cone.points[:, 2] < 1 - np.sqrt(0.5)) == pytest.approx(0.5, abs=0.02)
    cube = plain_box((1, 1, 1), rng)
    assert len(cube) == pytest.approx(6 * 8000, rel=0.01)


def test_the_camera_sees_the_front_of_a_box_and_no_wall_behind_it(rng):
    front = plain_box((0.6, 0.6, 1.2), rng)
    wall = quad((-2, 1.5, 0), (4, 0, 0), (0, 0, 2.5), P.plain(GREY, rng), 8000, rng)
    scene = join(front, wall)
    eye = np.array([0, -2.0, 1.0])
    views = camera.see(scene.points, scene.normals, [(eye, camera.look(np.array([0, 1.0, -0.1])))], rng, density=8000)
    seen, is_box = views.seen, np.arange(len(scene)) < len(front)
    side = scene.points[:, 1]
    assert seen[is_box & (side < -0.29)].mean() > 0.95
    assert seen[is_box & (side > 0.29) & (scene.points[:, 2] < 1.1)].mean() < 0.02
    # The box covers x within 0.3 * (3.5 / 1.7) of the wall as seen from 1.7 m before its front.
    shadow = ~is_box & (np.abs(scene.points[:, 0]) < 0.5) & (scene.points[:, 2] < 1.0)
    assert seen[shadow].mean() < 0.05
    beside = ~is_box & (np.abs(np.abs(scene.points[:, 0]) - 1.0) < 0.2) & (np.abs(scene.points[:, 2] - 1) < 0.5)
    assert seen[beside].mean() > 0.95


def test_nothing_beyond_the_sensors_range_is_seen(rng):
    wall = quad((-2, 8, 0), (4, 0, 0), (0, 0, 2.5), P.plain(GREY, rng), 2000, rng)
    pose = (np.array([0, 0, 1.2]), camera.look(np.array([0, 1.0, 0])))
    assert not camera.see(wall.points, wall.normals, [pose], rng, density=2000, far=4.5).seen.any()


def test_the_walk_stays_in_the_room(rng):
    plan = make_plan(5, 4, 2.6, (2.0, 1.5))
    for centre, rotation in camera.walking_path(plan, rng, 40):
        assert plan.inside(centre[None, :2])[0]
        assert 0.7 < centre[2] < 2.3
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)


def test_a_sheet_on_a_table_hides_the_table_below_it(rng):
    scene = Scene(catalogue=None, split="train", rng=rng, density=8000)
    table = scene.add(plain_box((1, 1, 0.7), rng), "table")
    paper = scene.add(plain_box((0.3, 0.2, 0.004), rng, 40_000).moved((0.1, 0.1, 0.7), 0.4), "paper")
    points, _, _, owner = scene.arrays()
    local = (points[:, :2] - [0.1, 0.1]) @ np.array([[np.cos(0.4), -np.sin(0.4)], [np.sin(0.4), np.cos(0.4)]])
    under = (np.abs(local[:, 0]) < 0.13) & (np.abs(local[:, 1]) < 0.08) & (np.abs(points[:, 2] - 0.7) < 0.01)
    assert (owner[under] == paper).all()
    assert (owner == table).sum() > 0.9 * 8000 * (2 + 4 * 0.7)


def test_things_are_put_down_on_top_without_sinking_or_floating(rng):
    table = plain_box((1.0, 0.8, 0.7), rng)
    heights = HeightMap(table)
    thing = plain_box((0.1, 0.1, 0.1), rng, 30_000)
    placed = heights.put(thing, rng)
    assert placed.points[:, 2].min() == pytest.approx(0.7, abs=0.005)
    assert np.abs(placed.points[:, :2]).max() < 0.6
    wide = plain_box((2.0, 2.0, 0.1), rng)
    assert heights.put(wide, rng) is None


def test_it_is_darker_under_a_table_than_on_it(rng):
    top = quad((-0.6, -0.6, 0.7), (1.2, 0, 0), (0, 1.2, 0), P.plain(GREY, rng), 8000, rng)
    floor = quad((-2, -2, 0), (4, 0, 0), (0, 4, 0), P.plain(GREY, rng), 8000, rng)
    points = join(top, floor).points
    open_ = sensor.openness(points, 2.5, rng, 0.1)
    is_top = np.arange(len(points)) < len(top)
    under = ~is_top & (np.abs(points[:, :2]).max(axis=1) < 0.3)
    apart = ~is_top & (np.abs(points[:, :2]).min(axis=1) > 1.2)
    assert open_[under].mean() < 0.2
    assert open_[is_top].mean() > 0.95
    assert open_[apart].mean() > 0.95


def test_fusion_leaves_one_vertex_per_cell_and_mixes_colours_there(rng):
    points = rng.random((5000, 3)).astype(np.float32) * 0.1
    colors = np.repeat((rng.random(5000) < 0.5).astype(np.float32)[:, None], 3, axis=1)
    instance = np.zeros(5000, dtype=np.int32)
    fused, mixed, labels = sensor.fuse(points, colors, instance, 0.02, rng)
    assert 125 <= len(fused) <= 6**3
    assert len(labels) == len(mixed) == len(fused)
    assert abs(mixed.mean() - colors.mean()) < 0.05
    assert mixed.std() < 0.5 * colors.std()


def test_noise_grows_with_distance(rng):
    spread = []
    for away in (1.0, 4.0):
        wall = quad((-0.3, away, 0.9), (0.6, 0, 0), (0, 0, 0.6), P.plain(GREY, rng), 30_000, rng)
        pose = (np.array([0, 0, 1.2]), camera.look(np.array([0, 1.0, 0])))
        views = camera.see(wall.points, wall.normals, [pose], rng, density=30_000, far=6)
        seen = views.seen
        views = camera.Views(views.distance[seen], views.cosine[seen], views.view[seen], views.poses)
        spread.append(sensor.measure(wall.points[seen], views, rng)[:, 1].std())
    assert 0.0005 < spread[0] < 0.004
    assert 0.003 < spread[1] < 0.02


def test_structure_keeps_its_labels_but_for_patches(rng):
    points = rng.random((20_000, 3)).astype(np.float32) * 4
    instance = (np.arange(20_000) % 40).astype(np.int32)
    lost = np.zeros(40)
    for _ in range(30):
        out = sensor.unlabel(points, instance, np.array([0]), rng)
        assert ((out == instance) | (out == -1)).all()
        lost += np.bincount(instance[out == -1], minlength=40) / 500
    assert lost[0] / 30 < 0.1
    assert lost[1:].mean() > lost[0]
