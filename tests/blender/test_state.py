"""Clicks and masks survive: undo and redo, files, links, copies, and the add-on going and coming back."""

import sys
import time

import numpy as np
import pytest
from conftest import (
    ADDON,
    REPOSITORY,
    VOXEL,
    add_mesh,
    ball,
    click,
    edit_mode,
    enable_again,
    grid_points,
    group,
    install,
    instance,
    listed,
    notice,
    object_mode,
    preferences,
    pump,
    select,
)

POINTS = grid_points()
PLACES = (820, 195, 1420, 39)
OLD_FILE = REPOSITORY / "tests" / "data" / "saved_in_4_2.blend"


def button(blender, operator, **settings):
    assert getattr(blender.ops.scanpick, operator)("EXEC_DEFAULT", True, **settings) == {"FINISHED"}


def everything(blender):
    """What the artist sees: objects with their counts, and their masks."""
    objects = listed(blender).objects
    return [(o.name, o.clicks, o.vertices, o.locked) for o in objects], [group(o.name) for o in objects]


def test_undo_and_redo_across_clicks_objects_and_modes(scan, session):
    steps = []

    def done(pushes=1):
        steps.append((everything(scan), pushes))

    done(0)
    click(scan, session, PLACES[0])
    done()
    button(scan, "next_object", accept=True)
    done()
    click(scan, session, PLACES[1])
    done()
    edit_mode()
    select([PLACES[1] + 3])
    scan.ops.scanpick.click_selection(positive=False)
    pump(session)
    done(3)  # the mode, the selection, the click
    select([0, 1])
    button(scan, "add_by_hand")
    done(2)
    object_mode()
    button(scan, "object_new", name="lamp")
    done(2)
    click(scan, session, PLACES[2])
    done()
    listed(scan).objects[1].color = (0.1, 0.2, 0.3)
    scan.ops.ed.undo_push(message="Colour")
    button(scan, "object_delete")
    done(2)
    for (wanted, _), (_, pushes) in zip(reversed(steps[:-1]), reversed(steps[1:]), strict=True):
        for _ in range(pushes):
            scan.ops.ed.undo()
        assert everything(scan) == wanted
    for wanted, pushes in steps[1:]:
        for _ in range(pushes):
            scan.ops.ed.redo()
        assert everything(scan) == wanted
    labels = instance()
    for item in listed(scan).objects:
        assert set(np.flatnonzero(labels == item.number).tolist()) == group(item.name)


def test_beyond_the_undo_depth_clicks_are_taken_back_from_the_log(scan, session):
    before = scan.context.preferences.edit.undo_steps
    scan.context.preferences.edit.undo_steps = 4
    try:
        for vertex in PLACES:
            click(scan, session, vertex)
        for step in range(8):  # what else an artist does
            scan.data.objects["scan"].location.x = step
            scan.ops.ed.undo_push(message="Move")
        scan.data.objects["scan"].location.x = 0
        for left in (3, 2, 1):
            button(scan, "take_back")
            pump(session)
            assert listed(scan).objects[0].clicks == left
            expected = set().union(*(ball(POINTS, v, VOXEL) for v in PLACES[:left]))
            assert group("Object 1") == expected
    finally:
        scan.context.preferences.edit.undo_steps = before


def test_what_was_taken_back_can_be_undone(scan, session):
    click(scan, session, PLACES[0])
    click(scan, session, PLACES[1])
    both = group("Object 1")
    button(scan, "take_back")
    pump(session)
    scan.ops.ed.undo()
    assert group("Object 1") == both and listed(scan).objects[0].clicks == 2


def test_saved_in_the_middle_and_opened_again(scan, session, tmp_path):
    click(scan, session, PLACES[0])
    listed(scan).objects[0].locked = True
    button(scan, "next_object", accept=False)
    click(scan, session, PLACES[1])
    scan.ops.scanpick.click(vertex=PLACES[2], positive=True)  # on its way while the file is saved
    before = everything(scan)
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert everything(scan) == before, "the click without a mask is as if it had not been"
    click(scan, session, PLACES[1] + 3, positive=False)
    assert group("Object 1") == before[1][0]
    button(scan, "take_back")
    pump(session)
    assert everything(scan) == before


def test_undone_clicks_are_not_in_the_file_and_redo_after_saving_works(scan, session, tmp_path):
    click(scan, session, PLACES[0])
    click(scan, session, PLACES[1])
    both = everything(scan)
    scan.ops.ed.undo()
    one = everything(scan)
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"), copy=True)
    scan.ops.ed.redo()
    assert everything(scan) == both
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert everything(scan) == one


def test_appended_into_another_file_it_goes_on(scan, session, tmp_path):
    click(scan, session, PLACES[0])
    before = everything(scan)
    path = str(tmp_path / "library.blend")
    scan.ops.wm.save_as_mainfile(filepath=path)
    scan.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    scan.ops.wm.append(directory=path + "/Object/", filename="scan")
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    scan.ops.ed.undo_push(message="Append")
    assert everything(scan) == before
    click(scan, session, PLACES[1])
    assert group("Object 1") == before[1][0] | ball(POINTS, PLACES[1], VOXEL)
    scan.ops.ed.undo()
    assert everything(scan) == before


def test_linked_it_is_shown_and_says_what_to_do(scan, session, module, tmp_path):
    click(scan, session, PLACES[0])
    before = everything(scan)
    path = str(tmp_path / "library.blend")
    scan.ops.wm.save_as_mainfile(filepath=path)
    scan.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    scan.ops.wm.link(directory=path + "/Object/", filename="scan")
    linked = scan.data.objects["scan"]
    scan.context.view_layer.objects.active = linked
    assert not scan.ops.scanpick.click.poll()
    assert "make it local first" in module("operators.common").trouble(scan.context)
    assert [o.name for o in listed(scan).objects] == ["Object 1"]
    linked.select_set(True)
    scan.ops.object.make_local(type="SELECT_OBDATA")
    assert scan.ops.scanpick.click.poll()
    assert everything(scan) == before
    click(scan, session, PLACES[1])
    assert group("Object 1") > before[1][0]


def test_a_duplicate_has_its_own_clicks(scan, session):
    click(scan, session, PLACES[0])
    before = everything(scan)
    scan.ops.object.duplicate()
    scan.ops.ed.undo_push(message="Duplicate")
    copy = scan.context.object
    assert copy.name == "scan.001" and copy.data != scan.data.objects["scan"].data
    click(scan, session, PLACES[1])
    assert group("Object 1", "scan.001") > before[1][0]
    assert everything(scan) == before, "the original is untouched"
    assert listed(scan, "scan.001").objects[0].clicks == 2
    scan.ops.ed.undo()
    assert group("Object 1", "scan.001") == before[1][0]


def test_linked_duplicates_are_one_scan(scan, session):
    click(scan, session, PLACES[0])
    scan.ops.object.duplicate(linked=True)
    copy = scan.context.object
    copy.location.x = 10
    scan.context.view_layer.update()
    scan.ops.ed.undo_push(message="Duplicate")
    click(scan, session, PLACES[1])
    assert copy.data == scan.data.objects["scan"].data
    assert group("Object 1") == ball(POINTS, PLACES[0], VOXEL) | ball(POINTS, PLACES[1], VOXEL)
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    click(scan, session, PLACES[2])
    assert listed(scan).objects[0].clicks == 3


@pytest.fixture
def reading(connected, blender, session, module, monkeypatch):
    """Start a click whose answer is being read when this returns, however quick this machine is."""
    add_mesh(grid_points(250))
    listed(blender).voxel_size = VOXEL
    blender.ops.ed.undo_push(message="Voxel size")
    click(blender, session, 5000)
    blender.ops.scanpick.next_object(accept=False)
    blender.ops.ed.undo_push(message="Next")
    monkeypatch.setattr(module("session.session"), "BUDGET", 1e-4)

    def begin(*vertices):
        session.groups_read.clear()
        for vertex in vertices:
            assert blender.ops.scanpick.click(vertex=vertex) == {"FINISHED"}
        until = time.monotonic() + 10
        while not session._jobs:
            assert time.monotonic() < until
            session.pump()
        session.pump()
        return blender

    return begin


def test_another_mode_while_an_answer_is_read(reading, session):
    reading(40_000)
    edit_mode()
    pump(session)
    object_mode()
    assert len(group("Object 2")) > 20 and not session.pending.items


def test_undo_while_an_answer_is_read_takes_only_the_newest_click(reading, session):
    blender = reading(40_000, 40_010)
    blender.ops.ed.undo()
    pump(session)
    assert len(group("Object 2")) > 20 and not session.pending.items
    assert [item.clicks for item in listed(blender).objects] == [1, 1]


def test_a_mistake_of_ours_costs_one_mask_and_says_so(reading, session, module, monkeypatch):
    blender = reading(40_000)
    monkeypatch.setattr(module("session.application"), "apply_mask", lambda *_: 1 / 0)
    pump(session)
    assert "could not be put into the scan (division by zero)" in notice(blender, session)
    monkeypatch.undo()
    click(blender, session, 40_000)
    assert len(group("Object 2")) > 20


def test_a_deleted_scan_is_let_go_and_comes_back_with_undo(scan, session):
    click(scan, session, PLACES[0])
    scan.data.objects.remove(scan.data.objects["scan"])
    scan.ops.ed.undo_push(message="Delete")
    other = add_mesh(POINTS[::2], name="other")
    other.data.scanpick.voxel_size = VOXEL
    click(scan, session, 10)
    assert len(session._known) == len(list(session.connection.client._uploads)) == 1
    for _ in range(3):
        scan.ops.ed.undo()
    assert "other" not in scan.data.objects
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    click(scan, session, PLACES[1])
    assert group("Object 1") == ball(POINTS, PLACES[0], VOXEL) | ball(POINTS, PLACES[1], VOXEL)


def test_an_object_in_two_scenes(scan, session):
    click(scan, session, PLACES[0])
    other = scan.data.scenes.new("other")
    other.collection.objects.link(scan.data.objects["scan"])
    with scan.context.temp_override(scene=other, view_layer=other.view_layers[0], object=scan.data.objects["scan"]):
        other.view_layers[0].objects.active = scan.data.objects["scan"]
        click(scan, session, PLACES[1])
    assert listed(scan).objects[0].clicks == 2


def test_the_addon_disabled_enabled_and_updated_in_the_middle(scan, session, addon, module, tmp_path, sphere_server):
    click(scan, session, PLACES[0])
    click(scan, session, PLACES[1])
    before = everything(scan)
    address = preferences().address
    scan.ops.preferences.addon_disable(module=ADDON)
    assert not hasattr(scan.data.objects["scan"].data, "scanpick")
    assert group("Object 1") == before[1][0], "masks are Blender's own, with or without the add-on"
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "without.blend"))
    scan.ops.preferences.addon_enable(module=ADDON)
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "without.blend"))
    fresh = sys.modules[f"{ADDON}.session.session"].session
    connect_again(scan, fresh, address)
    assert everything(scan) == before, "a file saved without the add-on keeps the clicks"
    click(scan, fresh, PLACES[2])
    updated = everything(scan)
    install()
    fresh = sys.modules[f"{ADDON}.session.session"].session
    assert everything(scan) == updated, "updating while a file is open loses nothing"
    connect_again(scan, fresh, address)
    click(scan, fresh, PLACES[3])
    assert listed(scan).objects[0].clicks == 4
    scan.ops.ed.undo()
    assert everything(scan) == updated


def test_what_was_done_while_the_addon_was_disabled_is_seen_when_it_is_enabled(scan, session):
    click(scan, session, PLACES[0])
    scan.ops.preferences.addon_disable(module=ADDON)
    scan.data.objects["scan"].vertex_groups["Object 1"].name = "chair"
    enable_again()
    pump(sys.modules[f"{ADDON}.session.session"].session)
    assert [(item.name, item.clicks) for item in listed(scan).objects] == [("chair", 1)]
    assert len(sys.modules[f"{ADDON}.overlay.markers"]._presses(scan.data.objects["scan"])) == 1, "the click is drawn"


def test_the_addon_removed_and_installed_again(scan, session, tmp_path):
    click(scan, session, PLACES[0])
    before = everything(scan)
    address = preferences().address
    repositories = [repository.module for repository in scan.context.preferences.extensions.repos]
    scan.ops.extensions.package_uninstall(repo_index=repositories.index("user_default"), pkg_id="scanpick")
    assert ADDON not in scan.context.preferences.addons
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "without.blend"))
    install()
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "without.blend"))
    assert everything(scan) == before
    fresh = sys.modules[f"{ADDON}.session.session"].session
    connect_again(scan, fresh, address)
    click(scan, fresh, PLACES[1])
    assert listed(scan).objects[0].clicks == 2


def connect_again(blender, session, address):
    settings = preferences()
    settings.address, settings.start_server = address, False
    assert session.connection.start() == "" or session.connection.start() is None


def write_file(blender, session, path):
    """A locked object with two clicks, and one from a group with soft weights that was grown by hand."""
    add_mesh(POINTS)
    listed(blender).voxel_size = VOXEL
    click(blender, session, PLACES[0])
    click(blender, session, PLACES[0] + 3, positive=False)
    button(blender, "next_object", accept=True)
    soft = blender.data.objects["scan"].vertex_groups.new(name="lamp 🪑/2")
    soft.add([194, 195, 234, 235], 0.6, "REPLACE")
    button(blender, "object_from_group", group="lamp 🪑/2")
    button(blender, "grow_mask")
    blender.ops.wm.save_as_mainfile(filepath=str(path), compress=True)


def test_a_file_saved_in_blender_4_2_goes_on_in_every_newer_one(connected, blender, session, tmp_path):
    """The file in tests/data was written by `write_file` in Blender 4.2.23."""
    write_file(blender, session, tmp_path / "now.blend")
    now = everything(blender)
    blender.ops.wm.open_mainfile(filepath=str(OLD_FILE))
    blender.ops.ed.undo_push(message="Original")
    objects, members = everything(blender)
    assert (objects, members) == now
    assert [(name, clicks, locked) for name, clicks, _, locked in objects] == [
        ("Object 1", 2, True), ("lamp 🪑/2", 0, False),
    ]  # fmt: skip
    labels = instance()
    assert [set(np.flatnonzero(labels == n).tolist()) for n in (1, 2)] == members
    listed(blender).active = 1
    click(blender, session, 198)
    assert members[1] < group("lamp 🪑/2") and group("Object 1") == members[0]
    blender.ops.ed.undo()
    assert everything(blender) == (objects, members)
