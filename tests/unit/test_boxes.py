"""Which part of a scan the network looks at: how a box grows after its object."""

import numpy as np
import pytest

from inference_server import boxes
from inference_server.boxes import STEP, grown_to, widest_around
from inference_server.scene import Scene, TileBox

WIDTH = 30


@pytest.fixture(scope="module")
def floor():
    """A point in every 10 cm of a floor of 24 m, 30 tiles wide."""
    x, y = np.mgrid[0:240, 0:240].reshape(2, -1) * 0.1 + 0.05
    return Scene(np.stack([x, y, np.zeros_like(x)], 1).astype(np.float32))


def voxels(scene, box):
    return np.concatenate([np.arange(*run) for run in scene.runs_inside(box)])


def test_a_box_stays_where_the_mask_keeps_off_its_border(floor):
    box = TileBox(10, 10, 16, 16)
    assert grown_to(floor, box, voxels(floor, TileBox(11, 11, 15, 15)), 4 * STEP) == box
    assert grown_to(floor, box, np.zeros(0, int), 4 * STEP) == box


def test_only_sides_that_the_mask_reaches_grow_and_by_as_much_as_is_said(floor):
    box = TileBox(10, 10, 16, 16)
    at_the_right = voxels(floor, TileBox(13, 11, 16, 15))
    assert grown_to(floor, box, at_the_right) == TileBox(10, 10, 16 + STEP, 16)
    assert grown_to(floor, box, at_the_right, 4 * STEP) == TileBox(10, 10, 16 + 4 * STEP, 16)


def test_a_box_ends_where_the_scan_does(floor):
    box = TileBox(10, 10, 16, 16)
    assert grown_to(floor, box, voxels(floor, box), 16 * STEP) == TileBox(0, 0, WIDTH, WIDTH)


def test_where_a_large_step_would_hold_too_many_voxels_a_smaller_one_is_taken(floor, monkeypatch):
    box = TileBox(10, 10, 16, 16)
    monkeypatch.setattr(boxes, "MAX_REGION_VOXELS", floor.voxels_inside(TileBox(7, 7, 19, 19)))
    assert grown_to(floor, box, voxels(floor, box), 8 * STEP) == TileBox(10 - STEP, 10 - STEP, 16 + STEP, 16 + STEP)
    monkeypatch.setattr(boxes, "MAX_REGION_VOXELS", floor.voxels_inside(box))
    assert grown_to(floor, box, voxels(floor, box), 8 * STEP) == box


def test_a_square_is_as_wide_as_its_voxels_allow_and_never_less_than_the_first(floor):
    middle, edges = np.array([[12.0, 12.0, 0.0]]), (3.0, 6.0, 12.0)
    narrow, wide, wider = (floor.voxels_inside(widest_around(floor, middle, (edge,), 0)) for edge in edges)
    assert narrow < wide < wider
    for most, held in ((1e9, wider), (wider, wider), (wider - 1, wide), (wide - 1, narrow), (0, narrow)):
        assert floor.voxels_inside(widest_around(floor, middle, edges, most)) == held


def test_a_square_that_would_hold_more_than_clicks_may_ask_for_is_not_tried(floor, monkeypatch):
    middle = np.array([[12.0, 12.0, 0.0]])
    narrow = widest_around(floor, middle, (3.0,), 0)
    monkeypatch.setattr(boxes, "MAX_CLICKED_VOXELS", floor.voxels_inside(narrow))
    assert widest_around(floor, middle, (3.0, 6.0), 10**9) == narrow
