"""Which part of a scan the network looks at: how a box grows after its object."""

import numpy as np
import pytest

from inference_server import boxes
from inference_server.boxes import STEP, grown_to
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
