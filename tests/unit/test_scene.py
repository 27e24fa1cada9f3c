"""A prepared scan: sorted by voxel, cut into regions, scores back to every point."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from inference_server.errors import UserError
from inference_server.models.points import nearest
from inference_server.scene import RegionCache, Scene, TileBox
from inference_server.voxel_order import TILE

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
    assert np.array_equal(np.sort(region.indices), np.sort(scene.order[inside]))


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
    at_points = region.to_points(left_first).numpy()[np.argsort(region.indices)]
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
    at_points = region.to_points(score).numpy()[np.argsort(region.indices)]
    assert (at_points[x < 0.099] > 0).all() and (at_points[x > 0.111] < 0).all()


def test_coordinates_of_a_million_metres_keep_their_millimetres():
    positions, _ = random_scan(500)
    far = positions.astype(np.float64) + [1e6, -2e6, 1e3]
    near_scene, far_scene = Scene(positions.astype(np.float64), None, 0.05), Scene(far, None, 0.05)
    assert abs(len(near_scene.cells) - len(far_scene.cells)) < 25
    np.testing.assert_allclose(far_scene.points + far_scene.origin, far[far_scene.order], atol=2e-4)


def test_no_point_lies_below_the_origin_however_that_is_rounded():
    grid = np.stack(np.meshgrid(np.arange(40), np.arange(40), np.arange(40)), -1).reshape(-1, 3) * 0.05 + 0.025
    grid[0] = 0.0  # the lowest coordinates
    for offset in (13.6, 500_000.8, 0.7, 27.2):
        assert len(Scene(grid + offset, None, 0.05).cells) == len(np.unique(np.floor(grid / 0.05), axis=0))


def test_the_nearest_place_is_found_far_from_the_origin():
    places = torch.tensor([[0.0, 0.0, 300.0]]) + 0.05 * torch.rand(700, 3, generator=torch.Generator().manual_seed(0))
    assert nearest(places, places).tolist() == list(range(700))


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


def test_what_points_are_told_becomes_the_mean_of_their_voxels():
    positions, _ = random_scan()
    scene = Scene(positions, None, 0.2)
    region = scene.region(whole(scene), CPU)
    values = torch.rand(len(region.indices), generator=torch.Generator().manual_seed(0))
    of_voxel = torch.repeat_interleave(torch.arange(len(region.points)), region.counts)
    for voxel in (0, 7, len(region.points) - 1):
        torch.testing.assert_close(region.to_voxels(values)[voxel], values[of_voxel == voxel].mean())


def test_only_voxels_with_points_that_are_told_better_change():
    positions, _ = random_scan()
    scene = Scene(positions, None, 0.2)
    region = scene.region(whole(scene), CPU)
    scores = torch.zeros(len(region.points))
    rows = torch.arange(int(region.counts[:3].sum()))[1:]
    updated = region.updated(scores, torch.zeros(len(region.indices)), rows, torch.ones(len(rows)))
    share = (region.counts[0] - 1) / region.counts[0]
    torch.testing.assert_close(updated[:3], torch.tensor([float(share), 1.0, 1.0]))
    assert not updated[3:].any()


def test_regions_of_all_scans_together_take_only_so_much_memory():
    scans = [Scene(random_scan(seed=seed)[0], None, 0.05, RegionCache()) for seed in (0, 1)]
    one = scans[0].region(TileBox(0, 0, 2, TILE), CPU).bytes
    cache = RegionCache(4 * one)
    scans = [Scene(random_scan(seed=seed)[0], None, 0.05, cache) for seed in (0, 1)]
    for i in range(6):
        for scan in scans:
            region = scan.region(TileBox(i, 0, i + 2, TILE), CPU)
            assert scan.region(TileBox(i, 0, i + 2, TILE), CPU) is region
    assert 2 <= len(cache) <= 5
    cache.clear()
    assert scans[1].region(TileBox(5, 0, 7, TILE), CPU) is not region


def test_a_region_too_large_for_the_memory_is_kept_while_it_is_the_newest():
    scan = Scene(random_scan()[0], None, 0.05, RegionCache(1))
    assert scan.region(whole(scan), CPU) is scan.region(whole(scan), CPU)


def test_points_without_doubt_have_their_voxels_score_and_the_others_do_not_know_of_it():
    """Left half certain, right half not: only there, and one voxel around, are points interpolated."""
    positions, colors = random_scan()
    scene = Scene(positions, colors, 0.2)
    region = scene.region(whole(scene), CPU)
    rng = np.random.default_rng(0)
    voxel = torch.from_numpy(np.repeat(np.arange(len(scene.cells)), np.diff(scene.starts)))
    scores = torch.from_numpy(rng.uniform(-3, 3, len(scene.cells))).float()
    left = torch.from_numpy(scene.cells[:, 0] < scene.cells[:, 0].mean())
    deep = torch.from_numpy(scene.cells[:, 0] < scene.cells[:, 0].mean() - 2)
    scores[left] = 20 + scores[left]
    at_points = region.to_points(scores)
    assert torch.equal(at_points[deep[voxel]], scores[voxel][deep[voxel]])
    everywhere = Scene(positions, colors, 0.2).region(whole(scene), CPU)
    everywhere.to_points(torch.zeros_like(scores))
    assert torch.equal(everywhere.to_points(scores), at_points)
    assert not torch.equal(at_points[~left[voxel]], scores[voxel][~left[voxel]])


def test_the_order_is_the_same_where_keys_are_too_large_to_be_packed():
    """Two clusters 40 km apart: their voxels' numbers leave no room for the points' own."""
    near, _ = random_scan(4000)
    positions = np.concatenate([near, near + np.array([40_000.0, 40_000.0, 40_000.0])])
    scene = Scene(positions, None, 0.05)
    assert np.array_equal(np.sort(scene.order), np.arange(len(positions)))
    np.testing.assert_allclose(scene.points + scene.origin, positions[scene.order], atol=4e-3)
    assert len(np.unique(scene.cells, axis=0)) == len(scene.cells)
    assert (np.diff(scene.starts) > 0).all() and (np.diff(scene.tile_starts) > 0).all()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process's peak of memory")
def test_a_scan_takes_few_bytes_per_point_on_the_way_too():
    """Positions and colours (15 bytes per point) are the caller's, and 48 with them is what the server counts."""
    code = """
import numpy as np
from pathlib import Path
from inference_server.scene import Scene

def memory(name):
    return int(Path("/proc/self/status").read_text().partition(name + ":")[2].split()[0]) * 1024

points = 6_000_000
rng = np.random.default_rng(0)
positions = (rng.random((points, 3), np.float32) * np.array([30, 30, 3], np.float32)).astype(np.float32)
colors = np.zeros((points, 3), np.uint8)
colors[::2] = 9
Scene(positions[:9000], colors[:9000])
before = memory("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
scene = Scene(positions, colors)
print((memory("VmHWM") - before) / points, (memory("VmRSS") - before) / points)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, kept = map(float, done.stdout.split())
    # a voxel for almost every point, the worst case; working arrays of a million points weigh more in a scan this small
    assert kept < 30 and peak < 48 - 15 + 15, (kept, peak)


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


def test_a_sparse_wall_holds_together_beside_dense_things():
    """A wall of 2 m with a point every 15 cm, where most of the voxels are those of a dense box beside it."""
    rng = np.random.default_rng(0)
    x, z = np.meshgrid(np.arange(0, 2, 0.15), np.arange(0, 2, 0.15))
    wall = np.column_stack([x.ravel(), np.zeros(x.size), z.ravel()])
    box = np.column_stack([rng.uniform(0, 2, (20_000, 2)) + [0, 1], np.zeros(20_000)])
    scene = Scene(np.concatenate([wall, box]).astype(np.float32), None, 0.05)
    region = scene.region(whole(scene), CPU)
    mask = torch.from_numpy(scene.points[scene.starts[:-1], 1] + scene.origin[1] < 0.5)
    assert mask.sum() < len(mask) / 5
    assert torch.equal(region.connected(mask, region.locate(np.array([[0.9, 0.0, 0.9]]))), mask)
