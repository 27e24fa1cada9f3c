"""What the artist does while the first mask of a new object is on its way."""

import numpy as np
import pytest
from conftest import (
    VOXEL,
    add_mesh,
    ball,
    click,
    connect,
    grid_points,
    group,
    instance,
    listed,
    notice,
    pump,
    wait_for_state,
)

POINTS = grid_points()
LEFT, MIDDLE, RIGHT = 805, 820, 835


@pytest.fixture
def slow(blender, session, sphere_server):
    """A grid of 1,600 points whose masks take 0.3 s."""
    connect(session, sphere_server("--delay", "0.3").address)
    add_mesh(POINTS)
    listed(blender).voxel_size = VOXEL
    blender.ops.ed.undo_push(message="Voxel size")
    return blender


def press(blender, vertex):
    """Click without waiting for the mask."""
    assert blender.ops.scanpick.click(vertex=vertex) == {"FINISHED"}


def rows(blender):
    return [(item.name, item.clicks, item.vertices) for item in listed(blender).objects]


def numbers(blender):
    return [item.number for item in listed(blender).objects]


def assert_all_goes_on(blender, session, path):
    """Every object has its own vertices, can be deleted, and clicks work after opening the file again."""
    assert len(set(numbers(blender))) == len(numbers(blender)) and len(set(rows(blender))) == len(rows(blender))
    blender.ops.wm.save_as_mainfile(filepath=str(path))
    blender.ops.wm.open_mainfile(filepath=str(path))
    for _ in range(len(numbers(blender))):
        assert blender.ops.scanpick.object_delete("EXEC_DEFAULT", True) == {"FINISHED"}
    assert blender.ops.scanpick.object_new("EXEC_DEFAULT", True) == {"FINISHED"}
    click(blender, session, RIGHT)
    assert [clicks for _, clicks, _ in rows(blender)] == [1]


def test_a_new_object_has_a_number_of_its_own(slow, session, tmp_path):
    press(slow, MIDDLE)
    slow.ops.scanpick.object_new("EXEC_DEFAULT", True)
    pump(session)
    assert sorted(rows(slow)) == [("Object 1", 1, len(ball(POINTS, MIDDLE, VOXEL))), ("Object 2", 0, 0)]
    assert_all_goes_on(slow, session, tmp_path / "scan.blend")


def test_a_copy_has_a_number_of_its_own(slow, session, tmp_path):
    click(slow, session, LEFT)
    slow.ops.scanpick.next_object(accept=False)
    press(slow, RIGHT)
    listed(slow).active = 0
    slow.ops.scanpick.object_duplicate("EXEC_DEFAULT", True)
    pump(session)
    left, right = (len(ball(POINTS, vertex, VOXEL)) for vertex in (LEFT, RIGHT))
    assert sorted(rows(slow)) == [("Object 1", 1, left), ("Object 1.001", 1, 0), ("Object 2", 1, right)]
    assert group("Object 1.001") == group("Object 1") == ball(POINTS, LEFT, VOXEL)
    assert_all_goes_on(slow, session, tmp_path / "scan.blend")


def test_objects_from_labels_and_groups_have_numbers_of_their_own(slow, session, tmp_path):
    obj = slow.data.objects["scan"]
    labels = np.full(len(POINTS), -1, dtype=np.int32)
    labels[:3], labels[10:15] = 1, 2
    obj.data.attributes.new("label", "INT", "POINT").data.foreach_set("value", labels)
    obj.vertex_groups.new(name="chair").add([20, 21], 1.0, "REPLACE")
    press(slow, MIDDLE)
    assert slow.ops.scanpick.objects_from_labels("EXEC_DEFAULT", True, attribute="label") == {"FINISHED"}
    assert slow.ops.scanpick.object_from_group("EXEC_DEFAULT", True, group="chair") == {"FINISHED"}
    pump(session)
    assert sorted(vertices for _, _, vertices in rows(slow)) == [2, 3, 5, len(ball(POINTS, MIDDLE, VOXEL))]
    assert all(
        set(np.flatnonzero(instance() == item.number).tolist()) == group(item.name) for item in listed(slow).objects
    )
    assert_all_goes_on(slow, session, tmp_path / "scan.blend")


def test_what_redo_brings_back_keeps_its_number(slow, session, tmp_path):
    click(slow, session, LEFT)
    slow.ops.ed.undo()
    press(slow, RIGHT)
    press(slow, RIGHT + 2)
    slow.ops.ed.redo()
    assert [name for name, _, _ in rows(slow)] == ["Object 1"]
    pump(session)
    assert group("Object 1") == ball(POINTS, LEFT, VOXEL)
    assert group("Object 2") == ball(POINTS, RIGHT, VOXEL) | ball(POINTS, RIGHT + 2, VOXEL)
    assert [clicks for _, clicks, _ in rows(slow)] == [1, 2] and numbers(slow) == [1, 2]
    assert_all_goes_on(slow, session, tmp_path / "scan.blend")


def test_a_file_in_which_two_objects_have_one_number_opens_and_goes_on(slow, session, module, tmp_path):
    click(slow, session, MIDDLE)
    geometry = module("scan.geometry").Geometry(slow.data.objects["scan"])
    again = {"name": "Object 1", "color": [1.0, 0.5, 0.1]}
    assert module("session.journal").write(geometry, [("create", 1, again)])
    slow.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    slow.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert numbers(slow) == [1]
    click(slow, session, RIGHT)
    assert RIGHT in group("Object 1")
    assert_all_goes_on(slow, session, tmp_path / "again.blend")


def test_the_next_object_is_begun_before_the_mask_is_here(slow, session):
    press(slow, LEFT)
    press(slow, LEFT + 2)
    assert slow.ops.scanpick.next_object(accept=False) == {"FINISHED"}
    assert not slow.ops.scanpick.next_object.poll()
    press(slow, RIGHT)
    pump(session)
    assert [clicks for _, clicks, _ in rows(slow)] == [2, 1]
    assert group("Object 2") == ball(POINTS, RIGHT, VOXEL)
    assert listed(slow).active_item().name == "Object 2"
    slow.ops.scanpick.next_object(accept=True)
    click(slow, session, MIDDLE)
    assert [clicks for _, clicks, _ in rows(slow)] == [2, 1, 1]


def test_an_object_is_accepted_before_its_mask_is_here(slow, session):
    press(slow, LEFT)
    press(slow, LEFT + 2)
    assert slow.ops.scanpick.next_object(accept=True) == {"FINISHED"}
    press(slow, LEFT + 4)
    pump(session)
    assert [clicks for _, clicks, _ in rows(slow)] == [2, 1]
    assert [item.locked for item in listed(slow).objects] == [True, False]
    accepted = ball(POINTS, LEFT, VOXEL) | ball(POINTS, LEFT + 2, VOXEL)
    assert group("Object 1") == accepted
    assert group("Object 2") == ball(POINTS, LEFT + 4, VOXEL) - accepted
    assert listed(slow).active_item().name == "Object 2"


def test_an_object_of_the_list_is_accepted_while_a_mask_of_it_is_on_its_way(slow, session):
    click(slow, session, LEFT)
    press(slow, LEFT + 2)
    slow.ops.scanpick.next_object(accept=True)
    listed(slow).active = 0
    assert slow.ops.scanpick.click(vertex=MIDDLE) == {"CANCELLED"} and "is locked" in notice(slow, session)
    pump(session)
    assert [(item.clicks, item.locked) for item in listed(slow).objects] == [(2, True)]
    slow.ops.ed.undo()
    assert [(item.clicks, item.locked) for item in listed(slow).objects] == [(1, False)]


def test_the_mask_of_an_accepted_object_is_not_asked_for_again_in_place_of_the_one_that_waits(scan, connected, session):
    click(scan, session, LEFT)
    connected.kill()
    wait_for_state(session, "lost")
    press(scan, RIGHT)
    scan.ops.scanpick.next_object(accept=True)
    listed(scan).active = 0
    assert scan.ops.scanpick.predict_again() == {"CANCELLED"} and "is locked" in notice(scan, session)
    connected.start()
    pump(session)
    assert [(item.clicks, item.locked) for item in listed(scan).objects] == [(2, True)]
    assert group("Object 1") == ball(POINTS, LEFT, VOXEL) | ball(POINTS, RIGHT, VOXEL)


def test_a_click_that_is_given_up_takes_its_acceptance_with_it(slow, session):
    click(slow, session, LEFT)
    press(slow, LEFT + 2)
    slow.ops.scanpick.next_object(accept=True)
    slow.ops.scanpick.cancel_pending()
    assert [(item.clicks, item.locked) for item in listed(slow).objects] == [(1, False)]


def test_an_object_that_was_left_is_not_chosen_when_its_mask_comes(slow, session):
    for number in (1, 2):
        press(slow, LEFT + 5 * number)
        slow.ops.scanpick.next_object(accept=False)
        pump(session)
        assert len(rows(slow)) == number and listed(slow).active_item() is None
    press(slow, RIGHT)
    listed(slow).active = 0
    slow.ops.scanpick.next_object(accept=False)
    press(slow, MIDDLE)
    pump(session)
    assert [clicks for _, clicks, _ in rows(slow)] == [1, 1, 1, 1]
    press(slow, MIDDLE + 1)
    slow.ops.scanpick.next_object(accept=False)
    pump(session)
    assert listed(slow).active_item() is None, "the same for an object that is in the list already"


def test_the_row_that_is_chosen_meanwhile_gets_the_clicks(slow, session):
    click(slow, session, LEFT)
    slow.ops.scanpick.next_object(accept=False)
    press(slow, RIGHT)
    listed(slow).active = 0
    press(slow, LEFT + 2)
    pump(session)
    assert [clicks for _, clicks, _ in rows(slow)] == [2, 1]
    assert listed(slow).active_item().name == "Object 1"
    assert group("Object 1") == ball(POINTS, LEFT, VOXEL) | ball(POINTS, LEFT + 2, VOXEL)


def test_undo_among_quick_clicks_says_that_there_was_no_mask_and_predicts_it(slow, session):
    places = (LEFT, MIDDLE, RIGHT)
    for vertex in places:
        press(slow, vertex)
    pump(session)
    whole = group("Object 1")
    slow.ops.ed.undo()
    assert rows(slow) == [("Object 1", 2, 2)]
    said = session.notice_of(slow.data.objects["scan"].data.session_uid)
    assert "came before the mask" in said.text and said.operator == "scanpick.predict_again"
    slow.ops.ed.redo()
    assert group("Object 1") == whole and notice(slow, session) == ""
    slow.ops.ed.undo()
    assert slow.ops.scanpick.predict_again() == {"FINISHED"}
    pump(session)
    two = ball(POINTS, LEFT, VOXEL) | ball(POINTS, MIDDLE, VOXEL)
    assert group("Object 1") == two and "came before" not in notice(slow, session)
    click(slow, session, RIGHT)
    slow.ops.ed.undo()
    assert group("Object 1") == two and "came before" not in notice(slow, session)
    slow.ops.ed.undo()
    assert rows(slow) == [("Object 1", 2, 2)] and "came before" in notice(slow, session)


def test_a_voxel_size_that_was_set_meanwhile_stays(slow, session):
    listed(slow).voxel_size = 0  # as if nothing had been chosen yet
    press(slow, MIDDLE)
    listed(slow).voxel_size = VOXEL
    pump(session)
    assert group("Object 1") > ball(POINTS, MIDDLE, VOXEL), "it was asked for with the proposed size"
    assert listed(slow).voxel_size == pytest.approx(VOXEL)
    assert slow.ops.scanpick.predict_again() == {"FINISHED"}
    pump(session)
    assert group("Object 1") == ball(POINTS, MIDDLE, VOXEL)
