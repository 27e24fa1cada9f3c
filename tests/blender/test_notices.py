"""What the sidebar says: as long as it is true, and no longer."""

import pytest
from conftest import add_mesh, click, edit_mode, grid_points, listed, notice, pump, select

MIDDLE, FAR = 820, 195


@pytest.fixture
def said(scan, session):
    return lambda: notice(scan, session)


def test_what_a_click_did_is_no_longer_said_when_it_is_undone(scan, session, said):
    click(scan, session, MIDDLE)
    first = said()
    assert "Object 1" in first
    click(scan, session, MIDDLE + 1)
    second = said()
    assert "Object 1" in second and second != first
    scan.ops.ed.undo()
    assert said() == ""
    scan.ops.ed.redo()
    assert said() == second


def test_the_same_in_edit_mode(scan, session, said):
    edit_mode()
    select([MIDDLE])
    scan.ops.scanpick.click_selection(positive=True)
    pump(session)
    assert "Object 1" in said()
    scan.ops.ed.undo()
    assert said() == ""


def test_what_was_said_about_one_object_is_not_said_about_another(scan, session, said):
    click(scan, session, MIDDLE)
    scan.ops.scanpick.next_object(accept=False)
    assert said() == ""
    click(scan, session, FAR)
    assert "Object 2" in said()
    listed(scan).active = 0
    assert said() == ""


def test_a_lock_is_not_spoken_of_when_the_object_was_unlocked_in_the_list(scan, session, said):
    click(scan, session, MIDDLE)
    listed(scan).objects[0].locked = True
    assert scan.ops.scanpick.click(vertex=MIDDLE) == {"CANCELLED"}
    assert "is locked" in said()
    listed(scan).objects[0].locked = False
    assert said() == ""


def test_what_could_not_be_done_is_said_until_something_is_done(scan, session, said):
    edit_mode()
    select([])
    assert scan.ops.scanpick.add_by_hand() == {"CANCELLED"}
    assert "No vertex is selected" in said()
    select([MIDDLE])
    assert scan.ops.scanpick.add_by_hand("EXEC_DEFAULT", True) == {"FINISHED"}
    assert "1 vertices (+1, -0)" in said()
    scan.ops.ed.undo()
    assert said() == ""


def test_a_selection_in_another_scan_in_edit_mode_is_spoken_of(scan, session, said):
    add_mesh(grid_points() + [5, 0, 0], name="other")
    scan.data.objects["scan"].select_set(True)
    edit_mode()
    select([], "scan")
    select([], "other")
    assert scan.ops.scanpick.click_selection() == {"CANCELLED"}
    assert notice(scan, session, "other").startswith("No vertex is selected")
    select([MIDDLE], "scan")
    for operator in (scan.ops.scanpick.click_selection, scan.ops.scanpick.add_by_hand):
        assert operator() == {"CANCELLED"}
        told = notice(scan, session, "other")
        assert "active scan, “other”" in told and "for “scan” make that the active one" in told
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    assert scan.ops.scanpick.click_selection() == {"FINISHED"}
    pump(session)


def test_the_threshold_says_what_it_left_until_that_is_undone(scan, session, said):
    click(scan, session, MIDDLE)
    listed(scan).objects[0].threshold = 0.75
    scan.ops.ed.undo_push(message="Threshold")
    stricter = said()
    assert stricter.startswith("Object 1: ")
    scan.ops.ed.undo()
    assert said() != stricter
