"""Picking on clouds: the vertex that the eye sees, in perspective and in orthographic views."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

SIZE = (400, 300)


@pytest.fixture(scope="module")
def picking():
    """The module by its file: the add-on's package itself needs Blender."""
    file = Path(__file__).parents[2] / "blender_addon" / "tool" / "picking.py"
    spec = importlib.util.spec_from_file_location("scanpick_picking", file)
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def perspective() -> np.ndarray:
    """Looking along -z from the origin, as OpenGL has it; near 0.1 m, far 1000 m."""
    near, far, zoom = 0.1, 1000.0, 1.5
    depth = [0, 0, -(far + near) / (far - near), -2 * far * near / (far - near)]
    return np.array([[zoom * 0.75, 0, 0, 0], [0, zoom, 0, 0], depth, [0, 0, -1, 0]])


def orthographic() -> np.ndarray:
    """Looking along -z, 8 m wide; Blender's orthographic views reach 1000 m to both sides."""
    return np.array([[0.25, 0, 0, 0], [0, 1 / 3, 0, 0], [0, 0, -1e-3, 0], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("matrix", [perspective(), orthographic()], ids=["perspective", "orthographic"])
class TestPick:
    def project(self, picking, matrix, points):
        view = picking.View(matrix, SIZE, np.empty((0, 4)))
        return picking.Projection(np.ascontiguousarray(np.array(points, np.float32).T), view)

    def test_of_two_in_a_line_the_nearer_one(self, picking, matrix):
        for points, nearer in (([[0, 0, -2], [0, 0, -3]], 0), ([[0, 0, -3], [0, 0, -2]], 1)):
            assert self.project(picking, matrix, points).pick(200, 150, 2.0) == nearer

    def test_the_front_surface_wins_over_a_point_behind_it_that_is_nearer_to_the_cursor(self, picking, matrix):
        projection = self.project(picking, matrix, [[0.0, 0, -5.0], [0.1, 0.0, -2.0]])
        at = projection._x[projection._vertices == 0][0]
        assert projection.pick(at + 1, 150, 0.2) == 1

    def test_on_one_surface_the_point_nearest_to_the_cursor(self, picking, matrix):
        projection = self.project(picking, matrix, [[0.0, 0, -2.02], [0.05, 0.0, -2.0]])
        at = projection._x[projection._vertices == 0][0]
        assert projection.pick(at + 1, 150, 0.2) == 0

    def test_nothing_near(self, picking, matrix):
        assert self.project(picking, matrix, [[0, 0, -2]]).pick(30, 30, 2.0) == -1

    def test_what_is_clipped_away_is_not_seen(self, picking, matrix):
        view = picking.View(matrix, SIZE, np.array([[0, 0, -1.0, -2.5]]))  # keeps what is farther than 2.5 m
        points = np.array([[0, 0, -2], [0, 0, -3]], np.float32)
        assert picking.Projection(np.ascontiguousarray(points.T), view).pick(200, 150, 2.0) == 1

    def test_what_is_hidden_is_looked_through(self, picking, matrix):
        view = picking.View(matrix, SIZE, np.empty((0, 4)))
        points = np.array([[0, 0, -2], [0, 0, -3]], np.float32)
        hidden = np.array([True, False])
        assert picking.Projection(np.ascontiguousarray(points.T), view, hidden).pick(200, 150, 2.0) == 1

    def test_a_single_pick_looks_at_what_is_near_only_and_finds_the_same(self, picking, matrix):
        rng = np.random.default_rng(3)
        points = (rng.random((600_000, 3)) * [6, 4, 3] - [3, 2, 5]).astype(np.float32)
        points[::1000] = np.nan
        view = picking.View(matrix, SIZE, np.array([[1.0, 0, 0, 1.5]]))
        whole = picking.Projection(np.ascontiguousarray(points.T), view)
        for x, y in rng.random((20, 2)) * SIZE:
            close = picking.near(points, view, x, y)
            assert len(close) < len(points) / 20
            chosen = picking.Projection(np.ascontiguousarray(points[close].T), view).pick(x, y, 2.0)
            assert (close[chosen] if chosen >= 0 else -1) == whole.pick(x, y, 2.0)
