"""What an artist can do wrong: each gets a sentence in the panel, nothing is lost, and the next click works."""

import numpy as np
import pytest
from conftest import (
    add_mesh,
    ball,
    connect,
    edit_mode,
    free_address,
    grid_points,
    group,
    notice,
    object_mode,
    preferences,
    pump,
    select,
    wait_for_state,
)

POINTS = grid_points()
MIDDLE = 820


def click(blender, vertices=(MIDDLE,), positive=True):
    select(list(vertices))
    return blender.ops.scanpick.click_selection(positive=positive)


def assert_next_click_works(blender, session):
    assert click(blender) == {"FINISHED"}
    pump(session)
    assert MIDDLE in group("Object 1")


def fix(blender, session):
    """The operator of the button below what the sidebar says."""
    return session.notice_of(blender.data.objects["scan"].data.session_uid).operator


def test_no_selection(connected, blender, session):
    add_mesh(POINTS)
    edit_mode()
    assert click(blender, []) == {"CANCELLED"}
    assert "select some vertices" in notice(blender, session)
    assert_next_click_works(blender, session)


def test_removing_before_anything_was_added(connected, blender, session):
    add_mesh(POINTS)
    edit_mode()
    assert click(blender, [MIDDLE], positive=False) == {"CANCELLED"}
    assert "Start with a click on the object" in notice(blender, session)
    assert_next_click_works(blender, session)


def test_no_server(blender, session, sphere_server):
    preferences().address = free_address()
    add_mesh(POINTS)
    edit_mode()
    assert click(blender) == {"CANCELLED"}
    assert "No server answers" in notice(blender, session) and "start it" in notice(blender, session)
    assert fix(blender, session) == "scanpick.show_preferences"
    server = sphere_server()
    connect(session, server.address)
    assert_next_click_works(blender, session)


def test_server_not_installed(blender, session):
    settings = preferences()
    settings.address, settings.start_server = free_address(), True
    add_mesh(POINTS)
    edit_mode()
    assert click(blender) == {"CANCELLED"}
    assert "install.py blender" in notice(blender, session)
    assert fix(blender, session) == "scanpick.show_preferences"


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1", "http://127.0.0.1:80", "tcp://[::1", ""])
def test_an_address_that_is_none(blender, session, address):
    preferences().address = address
    add_mesh(POINTS)
    edit_mode()
    assert click(blender) == {"CANCELLED"}
    assert "is not a server address" in notice(blender, session)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "LocalHost", "[::1]", "[0:0:0:0:0:0:0:1]"])
def test_this_machine_needs_no_online_access(blender, session, module, host):
    assert module("server.connection").is_loopback(f"tcp://{host}:47600")
    assert module("server.connection").refusal(f"tcp://{host}:47600") is None


@pytest.mark.parametrize("host", ["10.9.8.7", "studio-box", "[studio-box]"])
def test_another_machine_needs_online_access(blender, session, host):
    preferences().address = f"tcp://{host}:47600"
    assert not blender.app.online_access
    add_mesh(POINTS)
    edit_mode()
    assert click(blender) == {"CANCELLED"}
    assert "allow online access" in notice(blender, session)


def test_server_killed_between_click_and_answer(blender, session, sphere_server):
    server = sphere_server("--delay", "0.5")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    assert click(blender) == {"FINISHED"}
    server.kill()
    wait_for_state(session, "lost", seconds=6)
    assert "Clicks wait until it is back" in session.connection.text
    assert len(session.pending.items) == 1
    server.start()
    pump(session, 15)
    assert MIDDLE in group("Object 1"), "the click was answered by the server that came back"


def test_wrong_protocol_version(blender, session, sphere_server):
    server = sphere_server("--version", "99")
    preferences().address = server.address
    session.connection.start()
    wait_for_state(session, "incompatible", seconds=5)
    add_mesh(POINTS)
    edit_mode()
    assert click(blender) == {"CANCELLED"}
    assert "version 99" in notice(blender, session) and "update" in notice(blender, session)


def test_the_server_answers_with_an_error(blender, session, sphere_server):
    server = sphere_server("--fail", "out_of_memory")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    click(blender)
    pump(session)
    assert "out_of_memory" in notice(blender, session)
    assert len(blender.data.objects["scan"].data.scanpick.objects) == 0


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (np.zeros((0, 3)), "No vertex is selected"),
        (np.zeros((1, 3)), "only one vertex"),
        (np.full((50, 3), 1.5), "in one place"),
        (np.full((50, 3), np.nan), "no valid position"),
    ],
)
def test_scans_with_nothing_to_see(connected, blender, session, points, sentence):
    add_mesh(points)
    edit_mode()
    assert click(blender, range(min(1, len(points)))) == {"CANCELLED"}
    assert sentence in notice(blender, session)


def test_some_positions_are_not_numbers(connected, blender, session):
    points = POINTS.copy()
    points[[0, 700, 1599]] = np.nan
    add_mesh(points)
    edit_mode()
    assert_next_click_works(blender, session)
    assert "3 vertices without a valid position" in notice(blender, session)
    assert not {0, 700, 1599} & group("Object 1")
    expected = np.linalg.norm(np.nan_to_num(points, nan=9e9) - points[MIDDLE], axis=1) <= 10 * 0.075
    assert abs(len(group("Object 1")) - expected.sum()) <= 0.3 * expected.sum(), "masks are matched to their vertices"


def test_coordinates_of_a_million_metres(connected, blender, session):
    obj = add_mesh(POINTS)
    obj.location = (1_000_000.0, 5_000_000.0, 300.0)
    blender.context.view_layer.update()
    edit_mode()
    assert_next_click_works(blender, session)
    scan = session.known_scan(blender.data.objects["scan"])
    assert np.abs(scan.points).max() < 2
    assert np.allclose(np.diff(np.unique(scan.points[:, 0])), 0.05, atol=1e-5)


@pytest.mark.parametrize("kind", ["FLOAT_COLOR", "BYTE_COLOR", None])
def test_float_byte_and_no_colours(connected, blender, session, kind):
    obj = add_mesh(POINTS)
    if kind:
        layer = obj.data.color_attributes.new("Col", kind, "POINT")
        linear = np.tile(np.linspace(0, 1, len(POINTS))[:, None], 4).astype(np.float32)
        layer.data.foreach_set("color", linear.ravel())
    edit_mode()
    assert_next_click_works(blender, session)
    scan = session.known_scan(blender.data.objects["scan"])
    if kind is None:
        assert scan.point_colors is None and "only the shape" in scan.color_source
    else:
        assert scan.color_source == "colour attribute “Col”"
        assert scan.point_colors[0].tolist() == [0, 0, 0] and scan.point_colors[-1].tolist() == [255, 255, 255]
        assert abs(int(scan.point_colors[800, 0]) - 188) <= 1, "half of linear light is 188 in sRGB"


def test_the_mesh_is_edited_while_the_mask_is_on_its_way(blender, session, sphere_server):
    server = sphere_server("--delay", "0.3")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    click(blender)
    blender.ops.mesh.delete(type="VERT")
    blender.ops.ed.undo_push(message="Delete")
    pump(session)
    assert "was edited" in notice(blender, session)
    assert not blender.data.objects["scan"].vertex_groups
    assert click(blender, [MIDDLE - 1]) == {"FINISHED"}
    pump(session)
    assert MIDDLE - 1 in group("Object 1")


def test_the_object_is_renamed_while_the_mask_is_on_its_way(blender, session, sphere_server):
    server = sphere_server("--delay", "0.3")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    click(blender)
    blender.data.objects["scan"].name = "renamed"
    pump(session)
    assert MIDDLE in group("Object 1", "renamed")


def test_the_object_is_deleted_while_the_mask_is_on_its_way(blender, session, sphere_server):
    server = sphere_server("--delay", "0.3")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    click(blender)
    object_mode()
    blender.data.objects.remove(blender.data.objects["scan"])
    pump(session)
    add_mesh(POINTS)
    edit_mode()
    assert_next_click_works(blender, session)


def test_another_file_is_opened_while_the_mask_is_on_its_way(blender, session, sphere_server):
    server = sphere_server("--delay", "0.3")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    click(blender)
    blender.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    assert not session.pending.items
    pump(session)


def test_units_that_look_wrong_are_said(connected, blender, session):
    add_mesh(POINTS * 200)  # a square of 390 m
    edit_mode()
    assert_next_click_works(blender, session)
    assert "m across" in notice(blender, session) and "units are wrong" in notice(blender, session)


@pytest.mark.parametrize(("scale", "across"), [(1e-3, "2 mm"), (1e-5, "0.019 mm"), (1e4, "19,500 m")])
def test_the_units_are_said_of_scans_too_small_or_large_for_any_voxel(connected, blender, session, scale, across):
    obj = add_mesh(POINTS)
    obj.scale = (scale, scale, scale)
    blender.context.view_layer.update()
    edit_mode()
    assert click(blender) == ({"CANCELLED"} if scale == 1e-5 else {"FINISHED"})
    pump(session)
    assert f"This scan is {across} across" in notice(blender, session)
    assert (MIDDLE in group("Object 1")) == (scale != 1e-5)


def test_a_voxel_size_smaller_than_the_server_takes_becomes_the_smallest(connected, blender, session):
    scan = add_mesh(POINTS).data.scanpick
    scan.voxel_size = 0.00002
    assert scan.voxel_size == pytest.approx(0.0001)
    edit_mode()
    assert_next_click_works(blender, session)


@pytest.mark.parametrize("wrong", [100, 1000, 0.1])
def test_the_proposed_voxel_size_follows_the_scale_that_was_mended(connected, blender, session, wrong):
    obj = add_mesh(POINTS)
    obj.scale = (wrong, wrong, wrong)
    blender.ops.ed.undo_push(message="Scale")
    edit_mode()
    assert_next_click_works(blender, session)
    scan = blender.data.objects["scan"].data.scanpick
    before = scan.voxel_size
    blender.data.objects["scan"].scale = (1, 1, 1)
    blender.ops.ed.undo_push(message="Scale")
    click(blender, [0])
    pump(session)
    assert scan.voxel_size == pytest.approx(0.08), "what is proposed for points 5 cm apart"
    smaller, larger = (ball(POINTS, 0, size) | ball(POINTS, MIDDLE, size) for size in (0.0799, 0.0801))
    assert smaller <= group("Object 1") <= larger
    blender.ops.ed.undo()
    assert blender.data.objects["scan"].data.scanpick.voxel_size == pytest.approx(before)


def test_a_voxel_size_set_by_hand_stays_whatever_the_scale(connected, blender, session):
    obj = add_mesh(POINTS)
    obj.data.scanpick.voxel_size = 0.1
    obj.scale = (100, 100, 100)
    blender.ops.ed.undo_push(message="Scale")
    edit_mode()
    assert_next_click_works(blender, session)
    assert blender.data.objects["scan"].data.scanpick.voxel_size == pytest.approx(0.1)


def test_a_flattened_object_is_refused_and_a_mirrored_one_works(connected, blender, session):
    obj = add_mesh(POINTS)
    obj.scale = (1, 0, 1)
    blender.context.view_layer.update()
    edit_mode()
    assert click(blender) == {"CANCELLED"}
    assert "scaled to nothing" in notice(blender, session)
    obj = blender.data.objects["scan"]
    obj.scale = (-1, 1, 1)
    blender.context.view_layer.update()
    assert_next_click_works(blender, session)


def test_a_locked_object_is_not_changed(connected, blender, session):
    add_mesh(POINTS)
    edit_mode()
    assert_next_click_works(blender, session)
    before = group("Object 1")
    blender.data.objects["scan"].data.scanpick.objects[0].locked = True
    assert click(blender, [0]) == {"CANCELLED"}
    assert "is locked" in notice(blender, session)
    assert group("Object 1") == before


def test_an_attribute_called_instance_that_is_not_ours_is_kept(connected, blender, session):
    obj = add_mesh(POINTS)
    labels = obj.data.attributes.new("instance", "FLOAT", "POINT")
    labels.data.foreach_set("value", np.arange(len(POINTS), dtype=np.float32))
    edit_mode()
    assert_next_click_works(blender, session)
    object_mode()
    mesh = blender.data.objects["scan"].data
    assert mesh.attributes["instance"].data_type == "INT"
    assert mesh.attributes["instance.imported"].data[7].value == 7.0
