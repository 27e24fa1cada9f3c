"""The cut that refines a network's scores, on a strip of voxels: red ones, then blue ones."""

import itertools

import numpy as np
import pytest
import torch

from inference_server.minimum_cut import CERTAIN, CutGraph
from inference_server.refinement import CHANGED, refine, surface_graph
from inference_server.sparse.kernel_maps import neighbour_table
from inference_server.sparse.normals import surface_normals

VOXEL = 0.05


def graph_of(cells: np.ndarray, rgb: np.ndarray | None):
    table = neighbour_table(torch.from_numpy(np.pad(cells, ((0, 0), (1, 0)))).to(torch.int32), 3)
    xyz = torch.from_numpy((cells + 0.5) * VOXEL).float()
    rgb = None if rgb is None else torch.from_numpy(rgb).float()
    return surface_graph(table, surface_normals(table, xyz), rgb), table, xyz


@pytest.fixture
def strip():
    """Graph of 20 x 4 voxels in a plane, red where x < 10, blue beyond; and which are red."""
    cells = np.stack(np.meshgrid(np.arange(20), np.arange(4), [0], indexing="ij"), -1).reshape(-1, 3)
    red = cells[:, 0] < 10
    return graph_of(cells, np.where(red[:, None], (0.8, 0.1, 0.1), (0.1, 0.1, 0.8)))[0], red


def energy(pairs, cost, leaning, mask):
    return cost[mask[pairs[:, 0]] != mask[pairs[:, 1]]].sum() + leaning[~mask].sum()


@pytest.mark.parametrize("seed", range(5))
def test_no_labelling_has_less_energy_than_the_minimum_cut(seed):
    rng = np.random.default_rng(seed)
    pairs = np.array([pair for pair in itertools.combinations(range(9), 2) if rng.random() < 0.4])
    cost, leaning = rng.uniform(0.01, 2, len(pairs)), rng.normal(0, 2, 9)
    found = energy(pairs, cost, leaning, CutGraph(pairs, cost, 9).minimum_cut(leaning))
    every = [energy(pairs, cost, leaning, np.array(mask)) for mask in itertools.product([False, True], repeat=9)]
    assert found == pytest.approx(min(every), abs=0.02)


def test_certain_nodes_hold_against_their_neighbours():
    pairs, cost = np.array([[0, 1], [1, 2]]), np.array([50.0, 50.0])
    mask = CutGraph(pairs, cost, 3).minimum_cut(np.array([-9.0, CERTAIN, -CERTAIN]))
    assert mask.tolist() == [True, True, False]


def test_a_cut_leaves_nothing_behind_for_the_next():
    graph = CutGraph(np.array([[0, 1], [1, 2]]), np.array([1.0, 0.1]), 3)
    first, other = np.array([3.0, 0.5, -3.0]), np.array([-3.0, -0.5, -3.0])
    before = graph.minimum_cut(first).tolist()
    assert before == [True, True, False] and not graph.minimum_cut(other).any()
    assert graph.minimum_cut(first).tolist() == before


def test_a_vague_border_moves_to_where_the_colour_changes(strip):
    graph, red = strip
    scores = torch.linspace(3, -1, 20).repeat_interleave(4)  # says object up to x = 15
    refined = refine(scores, graph, torch.tensor([0]), np.array([True]))
    assert ((scores > 0).numpy() != red).any()
    assert ((refined > 0).numpy() == red).all()


def test_a_negative_click_holds_for_all_that_looks_like_it(strip):
    graph, red = strip
    scores = torch.full((80,), 0.1)
    refined = refine(scores, graph, torch.tensor([0, 79]), np.array([True, False]))
    assert ((refined > 0).numpy() == red).all()


def test_the_later_click_wins(strip):
    graph, _ = strip
    clicked = torch.tensor([0, 0])
    assert refine(torch.zeros(80), graph, clicked, np.array([False, True]))[0] > 0
    assert refine(torch.zeros(80), graph, clicked, np.array([True, False]))[0] < 0


def test_a_small_thing_that_looks_like_its_surroundings_does_not_shrink_to_nothing():
    cells = np.stack(np.meshgrid(np.arange(30), np.arange(30), [0], indexing="ij"), -1).reshape(-1, 3)
    graph, _, _ = graph_of(cells, None)
    scores = torch.where(torch.from_numpy((np.abs(cells[:, :2] - 15) <= 3).all(1)), 2.0, -2.0)
    middle = int(np.abs(cells - (15, 15, 0)).sum(1).argmin())
    assert torch.equal(refine(scores, graph, torch.tensor([middle]), np.array([True])), scores)


def test_scores_that_the_cut_agrees_with_stay(strip):
    graph, red = strip
    scores = torch.where(torch.from_numpy(red), 2.5, -3.5)
    assert torch.equal(refine(scores, graph, torch.tensor([0]), np.array([True])), scores)


def test_what_the_cut_relabels_is_told_from_what_is_sure(strip):
    graph, red = strip
    scores = torch.where(torch.from_numpy(red), 2.0, -2.0)
    scores[20] = -1.0
    assert refine(scores, graph, torch.tensor([0]), np.array([True]))[20] == CHANGED


def test_surfaces_part_at_their_bends_where_there_is_no_colour():
    floor = np.stack(np.meshgrid(np.arange(12), np.arange(12), [0], indexing="ij"), -1).reshape(-1, 3)
    wall = np.stack(np.meshgrid([0], np.arange(12), np.arange(1, 12), indexing="ij"), -1).reshape(-1, 3)
    cells = np.concatenate([floor, wall])
    graph, _, _ = graph_of(cells, None)
    edges = graph.network[: len(cells), : len(cells)].tocoo()
    inside, between = cells[np.stack([edges.row, edges.col], 1)], edges.data
    flat = (inside[:, :, 2] == 0).all(1) & (inside[:, :, 0] > 3).all(1)
    corner = (inside[:, 0, 2] == 0) != (inside[:, 1, 2] == 0)
    assert between[flat].min() > 2 * between[corner].max()


def test_normals_are_those_of_the_surface():
    rng = np.random.default_rng(3)
    cells = np.stack(np.meshgrid(np.arange(15), np.arange(15), indexing="ij"), -1).reshape(-1, 2)
    heights = np.floor(cells @ (0.3, 0.5)).astype(int)
    cells = np.column_stack([cells, heights])
    _, table, xyz = graph_of(cells, None)
    places = xyz.clone()
    places[:, 2] = VOXEL * (xyz[:, :2] / VOXEL) @ torch.tensor([0.3, 0.5]) + torch.from_numpy(rng.normal(0, 1e-4, 225))
    normal = torch.tensor([-0.3, -0.5, 1.0]) / np.sqrt(0.09 + 0.25 + 1)
    inner = (cells[:, :2] > 2).all(1) & (cells[:, :2] < 12).all(1)
    assert ((surface_normals(table, places) @ normal).abs()[inner] > 0.99).all()
