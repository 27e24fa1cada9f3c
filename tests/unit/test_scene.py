"""A prepared scan: sorted by voxel, cut into regions, scores back to every point."""

import numpy as np
import pytest
import torch

from inference_server.errors import UserError
from inference_server.scene import TILE, Scene, TileBox

CPU = torch.device("cpu")


def random_scan(points=5000, extent=(4.0, 3.0, 2.0), seed=0):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-1, 1, (points, 3)) * extent
    return positions.astype(np.float32), rng.integers(0, 256, (points, 3), dtype=np.uint8)


def whole(scene):
    low, high = scene.tiles.min(0), scene.tiles.max(0) + 1
    return TileBox(int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def test_every_point_stays_and_stands_in_its_voxel():
    positions, colors = random_scan()
    scene = Scene(positions, colors, 0.05)
    assert np.array_equal(np.sort(scene.order), np.arange(len(positions)))
    np.testing.assert_allclose(scene.points + scene.origin, positions[scene.order], atol=1e-5)
    voxel = np.repeat(np.arange(len(scene.cells)), np.diff(scene.starts))
    assert np.array_equal(np.floor(scene.points / np.float32(0.05)).astype(int), scene.cells[voxel])
    assert len(np.unique(scene.cells, axis=0)) == len(scene.cells)
    assert np.array_equal(scene.colors, colors[scene.order])


def test_a_region_holds_exactly_the_points_over_its_tiles():
    positions, _ = random_scan()
    scene = Scene(positions, None, 0.05)
    box = TileBox(1, 2, 3, 4)
    region = scene.region(box, CPU)
    tile = (scene.points[:, :2] / scene.tile_size).astype(int)
    inside = ((tile >= [box.x0, box.y0]) & (tile < [box.x1, box.y1])).all(1)
    assert np.array_equal(np.sort(region.rows), np.flatnonzero(inside))


def test_a_region_is_seen_at_the_trained_scale_on_the_trained_grid():
    positions, _ = random_scan(extent=(0.8, 0.6, 0.4))
    scene = Scene(positions, None, 0.01)
    region = scene.region(whole(scene), CPU)
    cells = torch.floor(region.points.xyz / 0.05)
    assert len(torch.unique(cells, dim=0)) == len(scene.cells)
    assert float(region.points.xyz[:, 0].max() - region.points.xyz[:, 0].min()) == pytest.approx(1.6 * 5, rel=0.02)


def test_scores_that_are_alike_stay_so_between_voxels():
    positions, colors = random_scan()
    scene = Scene(positions, colors, 0.2)
    region = scene.region(whole(scene), CPU)
    at_points = region.to_points(torch.full((len(scene.cells),), 2.5))
    torch.testing.assert_close(at_points, torch.full_like(at_points, 2.5))


def test_scores_change_gradually_between_two_voxels():
    line = np.stack([np.linspace(0.001, 0.0999, 200), np.full(200, 0.025), np.full(200, 0.025)], 1)
    scene = Scene(line.astype(np.float32), None, 0.05)
    region = scene.region(whole(scene), CPU)
    left_first = torch.from_numpy(np.sign(scene.cells[:, 0] - scene.cells[:, 0].mean())).float()
    at_points = region.to_points(left_first).numpy()[np.argsort(scene.order[region.rows])]
    assert (np.diff(at_points) >= -1e-5).all()
    assert abs(at_points[100]) < 0.05 and at_points[0] == pytest.approx(-1) and at_points[-1] == pytest.approx(1)


def test_a_colour_edge_inside_a_voxel_keeps_its_place():
    """Black left of 2.2 voxels, white right of it: the point just left of the edge sides with black."""
    x = np.linspace(0.001, 0.199, 400)
    line = np.stack([x, np.full(400, 0.025), np.full(400, 0.025)], 1).astype(np.float32)
    colors = np.where(x[:, None] < 0.11, 0, 255).repeat(3, 1).astype(np.uint8)
    scene = Scene(line, colors, 0.05)
    region = scene.region(whole(scene), CPU)
    score = torch.from_numpy(np.where(scene.cells[:, 0] - scene.cells[:, 0].min() < 2, 1.0, -1.0)).float()
    at_points = region.to_points(score).numpy()[np.argsort(scene.order[region.rows])]
    assert (at_points[x < 0.099] > 0).all() and (at_points[x > 0.111] < 0).all()


def test_coordinates_of_a_million_metres_keep_their_millimetres():
    positions, _ = random_scan(500)
    far = positions.astype(np.float64) + [1e6, -2e6, 1e3]
    near_scene, far_scene = Scene(positions.astype(np.float64), None, 0.05), Scene(far, None, 0.05)
    assert abs(len(near_scene.cells) - len(far_scene.cells)) < 25
    np.testing.assert_allclose(far_scene.points + far_scene.origin, far[far_scene.order], atol=2e-4)


@pytest.mark.parametrize(
    ("positions", "colors", "voxel", "sentence"),
    [
        (np.zeros((0, 3), np.float32), None, 0.05, "0 points"),
        (np.zeros((1, 3), np.float32), None, 0.05, "1 points"),
        (np.zeros((5, 2), np.float32), None, 0.05, "N x 3"),
        (np.full((5, 3), np.nan, np.float32), None, 0.05, "no finite position"),
        (np.zeros((5, 3), np.float32), None, 0.05, "less than one voxel"),
        (np.eye(3, dtype=np.float32), np.zeros((2, 3), np.uint8), 0.05, "Colours"),
        (np.eye(3, dtype=np.float32), None, 0.0, "voxel size"),
        (np.eye(3, dtype=np.float64) * 1e9, None, 0.05, "larger voxels"),
    ],
)
def test_what_is_no_scan_is_told_in_a_sentence(positions, colors, voxel, sentence):
    with pytest.raises(UserError, match=sentence):
        Scene(positions, colors, voxel)


def test_only_a_few_regions_are_kept():
    positions, _ = random_scan()
    scene = Scene(positions, None, 0.05)
    for i in range(8):
        scene.region(TileBox(i, 0, i + 2, TILE), CPU)
    assert len(scene._regions) <= 4


def test_parts_that_no_click_touches_are_told_apart():
    """Two patches 1 m apart: a click on the left one keeps the left one; a click on neither changes nothing."""
    rng = np.random.default_rng(0)
    patch = np.column_stack([rng.uniform(0, 0.5, (3000, 2)), np.zeros(3000)])
    scene = Scene(np.concatenate([patch, patch + [1.5, 0, 0]]).astype(np.float32), None, 0.05)
    region = scene.region(whole(scene), CPU)
    mask = torch.ones(len(scene.cells), dtype=torch.bool)
    at = region.locate(np.array([[0.2, 0.2, 0.0]]))
    left = torch.from_numpy(scene.cells[:, 0] * 0.05 + scene.origin[0] < 1.0)
    assert torch.equal(region.connected(mask, at), left)
    assert region.connected(mask, region.locate(np.array([[1.0, 0.2, 0.0]]))).all()


def test_where_points_lie_farther_apart_than_voxels_parts_hold_together_over_coarser_cells():
    # two squares of 2 m, a point every 15 cm, with 2 m between them: no voxel of 5 cm has a neighbour
    x, y = np.meshgrid(np.arange(0, 2, 0.15), np.arange(0, 2, 0.15))
    square = np.column_stack([x.ravel(), y.ravel(), np.zeros(x.size)])
    positions = np.concatenate([square, square + [4, 0, 0]]).astype(np.float32)
    scene = Scene(positions, None, 0.05)
    region = scene.region(whole(scene), CPU)
    left = torch.from_numpy(scene.points[scene.starts[:-1], 0] + scene.origin[0] < 3)
    kept = region.connected(torch.ones(len(left), dtype=torch.bool), region.locate(np.array([[0.9, 0.9, 0.0]])))
    assert torch.equal(kept, left)
