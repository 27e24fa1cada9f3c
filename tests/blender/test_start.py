"""Objects that start from a mask made elsewhere, and are corrected by clicks."""

import numpy as np
import pytest
from conftest import add_mesh, grid_points, group, instance, notice, pump

POINTS = grid_points()
X, Y = POINTS[:, 0], POINTS[:, 1]
RADIUS = 0.3


@pytest.fixture
def scan(connected, blender):
    """A grid with a square of 25 x 25 vertices as a vertex group, a tongue of it too much and a corner too few.

    The sphere server sees discs of 30 cm around the clicks.
    """
    obj = add_mesh(POINTS)
    obj.data.scanpick.voxel_size = 0.03
    square = (X < 1.21) & (Y < 1.21)
    tongue = (X < 0.11) & (Y > 1.21) & (Y < 1.7)
    corner = (X > 0.95) & (Y > 0.95) & square
    mask = square & ~corner | tongue
    obj.vertex_groups.new(name="chair").add(np.flatnonzero(mask).tolist(), 0.75, "REPLACE")
    blender.ops.ed.undo_push(message="Group")
    blender.parts = {"square": square, "tongue": tongue, "corner": corner, "mask": mask}
    return blender


def vertex(x, y):
    return int(np.argmin(np.hypot(X - x, Y - y)))


def take(blender, name="chair"):
    assert blender.ops.scanpick.object_from_group("EXEC_DEFAULT", True, group=name) == {"FINISHED"}


def click(blender, session, at, positive=True):
    assert blender.ops.scanpick.click(vertex=at, positive=positive) == {"FINISHED"}
    pump(session)


def indices(mask):
    return set(np.flatnonzero(mask).tolist())


def test_the_group_becomes_an_object_as_it_is(scan, session):
    take(scan)
    mesh = scan.data.objects["scan"].data
    assert [(o.name, o.vertices, o.clicks) for o in mesh.scanpick.objects] == [("chair", scan.parts["mask"].sum(), 0)]
    assert indices(instance() == 1) == indices(scan.parts["mask"])
    weights = {round(g.weight, 2) for v in mesh.vertices for g in v.groups}
    assert weights == {0.75}, "nobody's weights were touched"
    scan.ops.ed.undo()
    assert len(scan.data.objects["scan"].data.scanpick.objects) == 0
    assert group("chair") == indices(scan.parts["mask"])


def test_a_click_adds_what_is_missing_and_leaves_the_rest_alone(scan, session):
    take(scan)
    click(scan, session, vertex(1.1, 1.1))
    gained = group("chair") - indices(scan.parts["mask"])
    assert group("chair") >= indices(scan.parts["mask"]), "nothing was lost where no click spoke"
    assert indices(scan.parts["corner"]) <= gained
    assert max(np.hypot(X[v] - 1.1, Y[v] - 1.1) for v in gained) <= RADIUS + 1e-3, "and nothing was gained elsewhere"


def test_a_negative_click_can_be_the_first_and_takes_away_the_piece_it_is_on(scan, session):
    take(scan)
    click(scan, session, vertex(0.05, 1.5), positive=False)
    left = group("chair")
    assert not indices(scan.parts["tongue"] & (Y > 1.3)) & left
    assert indices(scan.parts["square"] & ~scan.parts["corner"] & (Y < 0.6)) <= left


def test_taking_back_the_only_click_brings_the_start_back(scan, session):
    take(scan)
    click(scan, session, vertex(1.1, 1.1))
    assert scan.ops.scanpick.take_back("EXEC_DEFAULT", True) == {"FINISHED"}
    pump(session)
    assert group("chair") == indices(scan.parts["mask"])


def test_the_start_is_in_the_file(scan, session, tmp_path):
    take(scan)
    click(scan, session, vertex(1.1, 1.1))
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    before = group("chair")
    click(scan, session, vertex(0.05, 1.5), positive=False)
    assert indices(scan.parts["corner"]) <= group("chair") < before
    assert not indices(scan.parts["tongue"] & (Y > 1.3)) & group("chair")


def test_locked_objects_keep_their_vertices(scan, session):
    click(scan, session, vertex(0.2, 0.2))
    scan.data.objects["scan"].data.scanpick.objects[0].locked = True
    locked = group("Object 1")
    take(scan)
    assert group("Object 1") == locked
    assert group("chair") == indices(scan.parts["mask"]) - locked
    assert "stay with locked objects" in notice(scan, session)


def test_every_group_and_boolean_attribute_at_once(scan, session):
    obj = scan.data.objects["scan"]
    obj.vertex_groups.new(name="lamp").add([1500, 1501], 1.0, "REPLACE")
    obj.vertex_groups.new(name="empty")
    flag = obj.data.attributes.new("table", "BOOLEAN", "POINT")
    flag.data.foreach_set("value", X > 1.9)
    assert scan.ops.scanpick.object_from_group("EXEC_DEFAULT", True, group="*") == {"FINISHED"}
    assert [o.name for o in obj.data.scanpick.objects] == ["chair", "lamp", "table.001"]
    assert group("lamp") == {1500, 1501} and group("table.001") == indices(X > 1.9)
    assert not scan.ops.scanpick.object_from_group.poll() or "empty" in obj.vertex_groups


def test_a_point_clouds_attribute(connected, blender, session):
    if blender.app.version < (5, 2, 0):
        pytest.skip("Blender has no way to make a point cloud in scripts before 5.2")
    cloud = blender.data.pointclouds.new("cloud")
    cloud.resize(len(POINTS))
    cloud.attributes["position"].data.foreach_set("vector", POINTS.ravel())
    cloud.attributes.new("chair", "BOOLEAN", "POINT").data.foreach_set("value", X < 0.4)
    obj = blender.data.objects.new("scan", cloud)
    blender.context.collection.objects.link(obj)
    blender.context.view_layer.objects.active = obj
    cloud.scanpick.voxel_size = 0.03
    blender.ops.ed.undo_push(message="Cloud")
    take(blender)
    assert [(o.name, o.vertices) for o in cloud.scanpick.objects] == [("chair", (X < 0.4).sum())]
    click(blender, session, vertex(1.0, 1.0))
    values = np.empty(len(POINTS), dtype=bool)
    cloud.attributes["chair"].data.foreach_get("value", values)
    assert values[X < 0.4].all() and values[vertex(1.0, 1.0)] and values.sum() > (X < 0.4).sum() + 50
