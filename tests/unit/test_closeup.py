"""A closer look: taken at what is small and dense enough, over a part of the scan on finer voxels."""

import numpy as np
import pytest
import torch
from test_predictor import NearestClick, click, plane

from inference_server.boxes import box_around
from inference_server.closeup import FINER, FINEST, FIRST_FINER, Closeup, Sight, clicks_in_sight, sight_of
from inference_server.models.checkpoints import save_weights
from inference_server.models.registry import ModelConfig, register
from inference_server.predictor import Predictor
from inference_server.scene import RegionCache, Scene, TileBox
from inference_server.wire.protocol import Click

CPU = torch.device("cpu")
MIDDLE = np.array([4.0, 4.0, 0.0])


def a_plane(points=160_000, voxel_size=0.05) -> tuple[np.ndarray, Scene]:
    """8 m wide; with 160,000 points six of them lie in a voxel of 5 cm."""
    positions, colors = plane(width=8.0, points=points)
    return positions, Scene(positions, colors, voxel_size)


def clicks_at(positions: np.ndarray, *places: tuple[float, float, bool]) -> list:
    return [click(positions, np.linalg.norm(positions[:, :2] - at, axis=1).argmin(), sign) for *at, sign in places]


def sight_of_disc(scene: Scene, radius: float, clicks: list) -> Sight | None:
    """The sight after an answer that is a disc around the middle, metres."""
    region = scene.region(box_around(scene, MIDDLE[None]), CPU)
    away = torch.linalg.norm(region.points.xyz - region.locate(MIDDLE[None]), dim=1) / region.scale
    return sight_of(scene, clicks, region, torch.where(away < radius, 4.0, -4.0))


def test_the_smaller_an_object_the_finer_the_voxels():
    positions, scene = a_plane()
    two = clicks_at(positions, (4, 4, True), (4.5, 4, False))
    shares = [sight and sight.share for sight in (sight_of_disc(scene, radius, two) for radius in (0.15, 0.45, 1.0))]
    assert shares == [FINER[0][1], FINER[1][1], None]


def test_after_one_click_only_what_is_surely_small_is_looked_at_closer():
    positions, scene = a_plane()
    one = clicks_at(positions, (4, 4, True))
    assert sight_of_disc(scene, 0.14, one).share == FIRST_FINER[0][1]
    assert sight_of_disc(scene, 0.45, one) is None
    joined = [one[0], *(click(positions, vertex, False) for vertex in (5, 6))]
    joined[1:] = [type(one[0])(c.position, c.positive, c.vertex, joined=True) for c in joined[1:]]
    assert sight_of_disc(scene, 0.45, joined) is None


def test_sizes_are_counted_in_voxels():
    positions, scene = a_plane(voxel_size=0.1)
    two = clicks_at(positions, (4, 4, True), (4.5, 4, False))
    assert sight_of_disc(scene, 0.4, two).share == FINER[0][1]
    assert sight_of_disc(scene, 1.0, two).share == FINER[1][1]


def test_where_points_are_too_few_for_finer_voxels_there_is_nothing_to_see():
    positions, scene = a_plane(points=30_000)
    two = clicks_at(positions, (4, 4, True), (4.5, 4, False))
    assert sight_of_disc(scene, 0.15, two) is None
    assert sight_of_disc(scene, 0.0, two) is None


def test_voxels_get_no_finer_than_what_networks_know(monkeypatch):
    positions, colors = plane(width=1.6, points=160_000)
    scene = Scene(positions, colors, 0.01)
    middle = np.array([[0.8, 0.8, 0.0]])
    region = scene.region(box_around(scene, middle), CPU)
    away = torch.linalg.norm(region.points.xyz - region.locate(middle), dim=1) / region.scale
    two = clicks_at(positions, (0.8, 0.8, True), (0.9, 0.8, False))
    disc = torch.where(away < 0.1, 4.0, -4.0)
    assert sight_of(scene, two, region, disc) is None
    monkeypatch.setattr("inference_server.closeup.FINEST", 0.001)
    assert sight_of(scene, two, region, disc) is not None


def test_where_the_finest_voxels_would_be_too_fine_the_next_ones_are_taken():
    positions, scene = a_plane(points=640_000, voxel_size=0.03)
    two = clicks_at(positions, (4, 4, True), (4.2, 4, False))
    assert FINER[0][1] * 0.03 < FINEST < FINER[1][1] * 0.03
    assert sight_of_disc(scene, 0.1, two).share == FINER[1][1]


def test_clicks_that_follow_share_a_sight():
    positions, scene = a_plane()
    first, second = clicks_at(positions, (4, 4, True), (4.5, 4, False)), clicks_at(positions, (4.4, 4.4, True))
    assert sight_of_disc(scene, 0.15, first) == sight_of_disc(scene, 0.18, first + second)


def test_a_closeup_is_a_part_of_the_scan_on_finer_voxels():
    positions, scene = a_plane()
    positions = positions.astype(np.float64)
    closeup = Closeup.of(scene, Sight(TileBox(3, 4, 6, 8), 0.4), RegionCache())
    tile = (scene.points[:, :2] / scene.tile_size).astype(int)
    inside = ((tile >= (3, 4)) & (tile < (6, 8))).all(1)
    assert np.array_equal(np.sort(closeup.ranks), np.flatnonzero(inside))
    assert np.array_equal(closeup.indices, scene.order[closeup.ranks])
    part = closeup.scene
    assert part.voxel_size == pytest.approx(0.02)
    there = part.points + part.origin + scene.origin
    np.testing.assert_allclose(there, positions[closeup.indices[part.order]], atol=1e-5)
    assert closeup.bytes < 40 * len(part)


def test_a_region_finds_the_points_that_it_shares_with_a_closeup():
    _, scene = a_plane()
    closeup = Closeup.of(scene, Sight(TileBox(1, 1, 5, 5), 0.4), RegionCache())
    region = scene.region(TileBox(3, 2, 7, 4), CPU)
    rows = region.rows_of(closeup.ranks)
    assert np.array_equal(rows >= 0, np.isin(closeup.indices, region.indices))
    assert np.array_equal(region.indices[rows[rows >= 0]], closeup.indices[rows >= 0])


def test_clicks_out_of_sight():
    positions, scene = a_plane()
    sight = Sight(TileBox(3, 3, 7, 7), 0.4)
    near = clicks_at(positions, (4, 4, True), (4.5, 4, False))
    seen = clicks_in_sight(scene, sight, near + clicks_at(positions, (7.5, 4, False)))
    assert [c.positive for c in seen] == [True, False] and {c.vertex for c in seen} == {-1}
    np.testing.assert_allclose(seen[0].position + scene.origin, near[0].position)
    assert clicks_in_sight(scene, sight, near + clicks_at(positions, (7.5, 4, True))) is None


@pytest.fixture(scope="module")
def small_sphere(tmp_path_factory):
    """Weights of a network whose object is what lies within 0.15 m, at voxels of 5 cm, of the nearest click."""

    class NearClick(NearestClick):
        def forward(self, points, features):
            score = 20 * (features[:, 6 + 2].float() - torch.exp(torch.tensor(-0.15 / 0.3)))
            return torch.stack([-score, score], 1)

    register("near-click-for-tests", lambda config, engine: NearClick())
    path = tmp_path_factory.mktemp("weights") / "near.safetensors"
    save_weights(path, NearClick().state_dict(), ModelConfig("near-click-for-tests", "rgb-feedback"))
    return path


def test_both_looks_have_their_say(small_sphere):
    """The network says 15 cm and, closer, 9 cm; half-way between in its log-odds lie 11 cm."""
    positions, colors = plane(width=8.0, points=160_000)
    predictor = Predictor(small_sphere, "cpu")
    predictor.set_scene(positions, colors)
    one = clicks_at(positions, (4, 4, True))
    mask = predictor.predict(one).mask
    away = np.linalg.norm(positions - np.float32(one[0].position), axis=1)
    assert mask[away < 0.06].all() and not mask[away > 0.14].any()
    assert 0.08 < away[mask].max() < 0.13


@pytest.mark.parametrize("spread", [0.0, 0.004])
def test_what_is_one_voxel_even_closer_keeps_its_first_answer(small_sphere, spread):
    positions, colors = plane(width=4.0, points=40_000)
    alone = np.array([8.0, 2.0, 1.0]) + np.linspace(0, spread, 20)[:, None]
    positions = np.concatenate([positions, alone]).astype(np.float32)
    predictor = Predictor(small_sphere, "cpu")
    predictor.set_scene(positions, np.concatenate([colors, np.full((20, 3), 90, np.uint8)]))
    mask = predictor.predict([click(positions, 40_000)]).mask
    assert mask[40_000:].all() and not mask[:40_000].any()


def test_around_a_first_click_into_a_hole_of_the_scan_there_is_nothing_to_see():
    positions, colors = plane(width=8.0, points=160_000)
    outside = np.abs(positions[:, :2] - 4).max(1) > 1.8
    scene = Scene(positions[outside], colors[outside], 0.05)
    region = scene.region(box_around(scene, MIDDLE[None]), CPU)
    away = torch.linalg.norm(region.points.xyz - region.locate(np.array([[6.0, 4.0, 0.0]])), dim=1)
    scores = torch.where(away < 0.1, 4.0, -4.0)
    assert sight_of(scene, [Click((6.0, 4.0, 0.0), True)], region, scores) is not None
    assert sight_of(scene, [Click((4.0, 4.0, 0.0), True)], region, scores) is None


def test_an_answer_depends_on_the_clicks_alone(small_sphere):
    """Whatever was looked at before, and from nearer or farther."""
    positions, colors = plane(width=8.0, points=160_000)
    places = [(4, 4, True), (4.1, 4, True), (4, 4.1, False), (4.7, 4, True), (4.3, 4, False)]
    clicks = clicks_at(positions, *places)
    warm = Predictor(small_sphere, "cpu")
    warm.set_scene(positions, colors)
    for count in range(1, len(clicks) + 1):
        one_by_one = warm.predict(clicks[:count])
        fresh = Predictor(small_sphere, "cpu")
        fresh.set_scene(positions, colors)
        at_once = fresh.predict(clicks[:count])
        assert np.array_equal(one_by_one.probabilities, at_once.probabilities)
        assert np.array_equal(one_by_one.mask, at_once.mask)
    warm.release_memory()
    assert np.array_equal(warm.predict(clicks).mask, at_once.mask)
