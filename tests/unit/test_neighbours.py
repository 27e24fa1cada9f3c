"""Pieces, holes and borders of masks, on clouds in cells and on meshes by their faces."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

FILE = Path(__file__).resolve().parents[2] / "blender_addon" / "scan" / "neighbours.py"


def load():
    """The module on its own: its package needs Blender, it does not."""
    spec = importlib.util.spec_from_file_location("scanpick_neighbours", FILE)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


neighbours = load()
SIDE, CELL = 100, 0.05


def plane() -> np.ndarray:
    """A square of 2 m x 2 m, points 2 cm apart."""
    x, y = np.meshgrid(np.arange(SIDE) * 0.02, np.arange(SIDE) * 0.02)
    return np.stack([x.ravel(), y.ravel(), np.zeros(SIDE * SIDE)], axis=1).astype(np.float32)


def faces() -> np.ndarray:
    corner = (np.arange(SIDE - 1)[:, None] * SIDE + np.arange(SIDE - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + SIDE], axis=1)
    return np.concatenate([lower, lower[:, [1, 2, 0]] + [[0, 0, 0]], np.stack(
        [corner + 1, corner + SIDE + 1, corner + SIDE], axis=1)])  # fmt: skip


POINTS = plane()
X, Y = POINTS[:, 0], POINTS[:, 1]


@pytest.fixture(params=["cells", "faces"])
def around(request):
    if request.param == "cells":
        return neighbours.CellNeighbours(POINTS, CELL)
    return neighbours.FaceNeighbours(POINTS, faces())


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.hypot(X - x, Y - y) < radius


def test_growing_and_shrinking_move_a_straight_border_by_a_cell():
    around = neighbours.CellNeighbours(POINTS, CELL)
    half = X < 1.0
    grown, shrunk = around.grow(half), neighbours.shrink(around, half)
    assert (grown == (X < 1.0 + 0.04)).all(), "the points are 2 cm apart, so that 4 cm are within a cell's 5"
    assert (shrunk == (X < 1.0 - 0.04)).all(), "the scan's own edge is no border of the mask"


def test_a_single_vertex_grows_to_a_disc():
    around = neighbours.CellNeighbours(POINTS, CELL)
    middle = int(np.argmin(np.hypot(X - 1.013, Y - 0.993)))
    speck = np.arange(len(X)) == middle
    away = np.hypot(X - X[middle], Y - Y[middle])[around.grow(speck)]
    assert len(away) > 10 and away.max() <= CELL + 1e-6
    assert not neighbours.shrink(around, speck).any()


def scattered(points: int) -> np.ndarray:
    """A square of 2 m x 2 m, points anywhere, sparser towards x = 2."""
    places = np.random.default_rng(0).uniform(0, 1, (points, 3))
    return (places * [2, 2, 0.01] * np.stack([places[:, 0], *np.ones((2, points))], axis=1)).astype(np.float32)


@pytest.mark.parametrize("points", [POINTS, scattered(20_000), scattered(200_000)], ids=["grid", "sparse", "dense"])
@pytest.mark.parametrize("radius", [0.4, 0.6])
def test_growing_and_shrinking_undo_each_other_but_for_dents_and_spikes(points, radius):
    around = neighbours.CellNeighbours(points, CELL)
    ball = np.linalg.norm(points - [1, 1, 0], axis=1) < radius
    closed = neighbours.shrink(around, around.grow(ball))
    opened = around.grow(neighbours.shrink(around, ball))
    assert (closed | ball == closed).all(), "grown and shrunk, the mask loses nothing"
    assert (opened & ball == opened).all(), "shrunk and grown, it gains nothing"
    assert ball.sum() >= 0.97 * closed.sum() and opened.sum() >= 0.96 * ball.sum()
    assert (neighbours.shrink(around, around.grow(closed)) == closed).all()
    assert (around.grow(neighbours.shrink(around, opened)) == opened).all()


def test_growing_and_shrinking_by_faces_move_by_one_vertex():
    around = neighbours.FaceNeighbours(POINTS, faces())
    half = X < 0.99
    assert np.isclose(X[around.grow(half)].max(), 1.0)
    assert np.isclose(X[neighbours.shrink(around, half)].max(), 0.96)


def test_only_the_pieces_with_a_click_are_kept(around):
    big, small, far = disc(0.5, 0.5, 0.3), disc(1.5, 0.5, 0.2), disc(1.5, 1.5, 0.25)
    click = int(np.argmin(np.hypot(X - 1.5, Y - 1.5)))
    assert (neighbours.connected_to(around, big | small | far, np.array([click])) == far).all()
    assert (neighbours.connected_to(around, big | small | far, np.array([], dtype=int)) == big).all()


def test_holes_are_filled_and_the_rest_of_the_scan_is_none(around):
    ring = disc(1, 1, 0.6)
    hole, large_hole = disc(0.8, 1, 0.1), disc(1.3, 1, 0.2)
    mask = ring & ~hole & ~large_hole
    limit = (int(hole.sum()) + int(large_hole.sum())) // 2
    assert (neighbours.fill_holes(around, mask, limit) == (ring & ~large_hole)).all()
    assert (neighbours.fill_holes(around, mask, 10**6) != mask).any()
    assert (neighbours.fill_holes(around, mask, int(large_hole.sum())) == ring).all()


def test_lone_vertices_amid_the_mask_are_filled(around):
    ring = disc(1, 1, 0.6)
    speckled = ring.copy()
    speckled[np.flatnonzero(disc(1, 1, 0.4))[::37]] = False
    assert (neighbours.fill_holes(around, speckled, 10) == ring).all()


def test_smoothing_straightens_a_ragged_border(around):
    ragged = 1.0 + 0.02 * (np.arange(len(X)) // SIDE % 2) * 2 > X
    ragged ^= disc(1.6, 1.0, 0.015)  # a lone vertex far outside
    smooth = around.smooth(ragged)
    assert not smooth[disc(1.6, 1.0, 0.1)].any()
    widths = [smooth[y == Y].sum() for y in np.unique(Y)[10:-10]]
    assert max(widths) - min(widths) <= 1
    assert abs(np.mean(widths) - 51) <= 1.5, "the border stays where it was"


def test_the_same_place_twice_is_one_place_for_faces():
    quad = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], dtype=np.float32)
    around = neighbours.FaceNeighbours(quad, np.array([[0, 1, 2], [3, 4, 5]]))
    assert len(np.unique(around.pieces(np.ones(6, dtype=bool)))) == 1


def test_vertices_without_a_position_are_nobodys_neighbours():
    points = POINTS.copy()
    points[:10] = np.nan
    around = neighbours.CellNeighbours(points, CELL)
    everything = np.ones(len(points), dtype=bool)
    pieces = around.pieces(everything)
    assert (pieces[:10] == -1).all() and len(np.unique(pieces[10:])) == 1
    assert not around.grow(~np.isnan(points[:, 0]))[:10].any()


def test_cells_of_a_huge_scan_are_sorted_instead_of_counted(monkeypatch):
    around = neighbours.CellNeighbours(POINTS, CELL)
    monkeypatch.setattr(neighbours, "LARGEST_GRID", 10)
    sparse = neighbours.CellNeighbours(POINTS, CELL)
    mask = disc(1, 1, 0.5)
    assert (sparse.grow(mask) == around.grow(mask)).all() and (sparse.pieces(mask) == around.pieces(mask)).all()


def test_components_of_a_long_chain_and_of_random_edges():
    count = 5000
    chain = np.random.default_rng(1).permutation(count)
    labels = neighbours.components(count, chain[:-1], chain[1:])
    assert (labels == 0).all()
    rng = np.random.default_rng(2)
    first, second = rng.integers(0, count, 3000), rng.integers(0, count, 3000)
    labels = neighbours.components(count, first, second)
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    number, expected = connected_components(coo_matrix((np.ones(3000), (first, second)), shape=(count, count)), False)
    assert len(np.unique(labels)) == number
    assert len(np.unique(np.stack([labels, expected]), axis=1)[0]) == number
