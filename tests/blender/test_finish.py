"""Finishing a mask by hand: threshold, grow, shrink, holes, parts, Blender's selection; kept by later predictions."""

import numpy as np
import pytest
from conftest import add_mesh, edit_mode, grid_points, group, instance, notice, object_mode, pump, select

POINTS = grid_points()
MIDDLE, FAR = 820, 195
VOXEL = 0.03  # the sphere then has a radius of 30 cm


@pytest.fixture
def scan(connected, blender, session):
    """A grid of 1,600 points, 5 cm apart, with one click in the middle."""
    add_mesh(POINTS)
    blender.data.objects["scan"].data.scanpick.voxel_size = VOXEL
    blender.ops.ed.undo_push(message="Voxel size")
    click(blender, session, MIDDLE)
    return blender


def click(blender, session, vertex, positive=True):
    assert blender.ops.scanpick.click(vertex=vertex, positive=positive) == {"FINISHED"}
    pump(session)


def press(blender, operator, **settings):
    """Run an operator as a button does: with its undo step."""
    assert getattr(blender.ops.scanpick, operator)("EXEC_DEFAULT", True, **settings) == {"FINISHED"}


def item(blender):
    return blender.data.objects["scan"].data.scanpick.objects[0]


def distance(vertex=MIDDLE):
    return np.linalg.norm(POINTS - POINTS[vertex], axis=1)


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT"])
@pytest.mark.parametrize("operator", ["grow_mask", "shrink_mask"])
def test_growing_and_shrinking_is_one_undo_step_and_stays_through_the_next_click(scan, session, operator, mode):
    before = group("Object 1")
    if mode == "EDIT":
        edit_mode()
    press(scan, operator)
    after = group("Object 1")
    assert after > before if operator == "grow_mask" else after < before
    click_by_selection(scan, session, [MIDDLE + 1]) if mode == "EDIT" else click(scan, session, MIDDLE + 1)
    ring = before ^ after
    assert ring and (ring <= group("Object 1") if operator == "grow_mask" else not ring & group("Object 1"))
    scan.ops.ed.undo()
    if mode == "EDIT":
        scan.ops.ed.undo()  # the selection
    assert group("Object 1") == after
    scan.ops.ed.undo()
    assert group("Object 1") == before
    scan.ops.ed.redo()
    assert group("Object 1") == after


def test_growing_and_then_shrinking_gives_the_mask_back(scan):
    before = group("Object 1")
    press(scan, "grow_mask")
    press(scan, "shrink_mask")
    assert before <= group("Object 1") and len(before) >= 0.97 * len(group("Object 1"))


def click_by_selection(blender, session, vertices, positive=True):
    select(vertices)
    assert blender.ops.scanpick.click_selection(positive=positive) == {"FINISHED"}
    pump(session)


def test_only_parts_with_clicks_are_kept(scan, session):
    before = group("Object 1")
    obj = scan.data.objects["scan"]
    obj.vertex_groups["Object 1"].add([0, 1, 2, 40, 41], 1.0, "REPLACE")
    press(scan, "keep_connected")
    assert group("Object 1") == before
    click(scan, session, FAR)
    assert not {0, 1, 2, 40, 41} & group("Object 1"), "what was taken away by hand stays away"
    press(scan, "keep_connected")
    assert FAR in group("Object 1"), "both parts have a click"


def test_holes_are_filled(scan, session):
    whole = group("Object 1")
    hole = set(np.flatnonzero(distance(MIDDLE) < 0.08).tolist()) - {MIDDLE}
    obj = scan.data.objects["scan"]
    obj.vertex_groups["Object 1"].remove(sorted(hole))
    press(scan, "fill_holes", largest=0.5)
    assert group("Object 1") == whole


def test_a_ragged_border_is_smoothed(scan):
    whole = group("Object 1")
    obj = scan.data.objects["scan"]
    lone = [int(v) for v in np.flatnonzero((distance() > 0.8) & (distance() < 0.82))][:2]
    obj.vertex_groups["Object 1"].add(lone, 1.0, "REPLACE")
    press(scan, "smooth_mask")
    assert not set(lone) & group("Object 1")
    assert len(group("Object 1") ^ whole) < 0.3 * len(whole)


def test_faces_tell_what_lies_beside_what(connected, blender, session):
    corner = (np.arange(39)[:, None] * 40 + np.arange(39)).ravel()
    quads = np.stack([corner, corner + 1, corner + 41, corner + 40], axis=1)
    add_mesh(POINTS, quads)
    blender.data.objects["scan"].data.scanpick.voxel_size = VOXEL
    click(blender, session, MIDDLE)
    before = group("Object 1")
    assert before
    press(blender, "grow_mask")
    beside = {v + step for v in before for step in (-1, 1, -40, 40)}
    assert beside <= group("Object 1")
    press(blender, "shrink_mask")
    assert group("Object 1") >= before - {min(before), max(before)}


def test_finishing_takes_nothing_from_locked_objects(scan, session):
    item(scan).locked = True
    press(scan, "next_object", accept=False)
    neighbour = MIDDLE + 7
    click(scan, session, neighbour)
    locked = group("Object 1")
    for _ in range(3):
        press(scan, "grow_mask", repeat=2)
    assert group("Object 1") == locked and not group("Object 2") & locked
    assert "of locked objects" in notice(scan, session)


def test_a_locked_object_and_one_without_a_mask_cannot_be_finished(scan, session):
    item(scan).locked = True
    assert not scan.ops.scanpick.grow_mask.poll()
    assert not scan.ops.scanpick.fill_holes.poll()
    item(scan).locked = False
    assert scan.ops.scanpick.grow_mask.poll()
    scan.ops.scanpick.object_new()
    assert not scan.ops.scanpick.smooth_mask.poll()


def test_nothing_is_finished_while_a_mask_is_on_its_way(scan, session):
    scan.ops.scanpick.click(vertex=FAR, positive=True)
    before = group("Object 1")
    assert scan.ops.scanpick.grow_mask() == {"CANCELLED"}
    assert group("Object 1") == before
    pump(session)
    assert FAR in group("Object 1")


def test_the_threshold_moves_the_mask_at_once_without_the_server(scan, session, connected):
    connected.kill()
    before = group("Object 1")
    item(scan).threshold = 0.75
    scan.ops.ed.undo_push(message="Threshold")
    half = set(np.flatnonzero(distance() <= 0.5 * 0.3 + 1e-6).tolist())
    assert abs(len(group("Object 1")) - len(half)) <= 8 and group("Object 1") < before
    assert set(np.flatnonzero(instance() == 1).tolist()) == group("Object 1")
    item(scan).threshold = 0.25
    assert group("Object 1") > before
    item(scan).threshold = 0.5
    assert group("Object 1") == before
    scan.ops.ed.undo()
    assert group("Object 1") == before and item(scan).threshold == 0.5


def test_the_threshold_holds_for_later_clicks_and_in_the_file(scan, session, tmp_path):
    item(scan).threshold = 0.75
    scan.ops.ed.undo_push(message="Threshold")
    click(scan, session, FAR)
    assert not np.isin(np.flatnonzero((distance(FAR) > 0.2) & (distance() > 0.2)), list(group("Object 1"))).any()
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert item(scan).threshold == 0.75
    before = group("Object 1")
    item(scan).threshold = 0.5
    assert group("Object 1") == before, "the answer was in memory only"
    assert scan.ops.scanpick.predict_again() == {"FINISHED"}
    pump(session)
    assert group("Object 1") > before


def test_dragging_the_threshold_leaves_one_line_in_the_file(scan, tmp_path):
    mesh = scan.data.objects["scan"].data
    lines = len(mesh.scanpick.journal)
    for step in range(20):
        mesh.scanpick.objects[0].threshold = 0.5 + 0.01 * step
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert len(mesh.scanpick.journal) == lines + 1


def test_after_undo_the_threshold_has_the_answer_of_the_clicks_that_are_left(scan, session, module):
    first = group("Object 1")
    click(scan, session, FAR)
    scan.ops.ed.undo()
    assert group("Object 1") == first
    assert module("session.threshold").is_live(scan.data.objects["scan"])
    item(scan).threshold = 0.2
    assert group("Object 1") > first and FAR not in group("Object 1")


def test_clicks_and_hand_edits_stay_whatever_the_threshold(scan, session):
    click(scan, session, MIDDLE + 2, positive=False)
    edit_mode()
    select([0, 1, 2])
    press(scan, "add_by_hand")
    object_mode()
    item(scan).threshold = 0.98
    assert {0, 1, 2, MIDDLE} <= group("Object 1")
    item(scan).threshold = 0.02
    assert MIDDLE + 2 not in group("Object 1")


def test_a_locked_objects_slider_springs_back(scan, session):
    before = group("Object 1")
    item(scan).locked = True
    item(scan).threshold = 0.9
    assert item(scan).threshold == 0.5 and group("Object 1") == before


def test_a_selection_goes_in_and_out_by_hand_exactly_and_stays(scan, session):
    inside = group("Object 1")
    edit_mode()
    select([0, 1, 2, 3])
    press(scan, "add_by_hand")
    assert group("Object 1") == inside | {0, 1, 2, 3}
    taken = [MIDDLE + 1, MIDDLE + 41]
    select(taken)
    press(scan, "remove_by_hand")
    assert group("Object 1") == (inside | {0, 1, 2, 3}) - set(taken)
    assert item(scan).clicks == 1, "these are no clicks"
    click_by_selection(scan, session, [MIDDLE + 5])
    assert {0, 1, 2, 3} <= group("Object 1") and not set(taken) & group("Object 1")
    for _ in range(2):
        scan.ops.ed.undo()
    scan.ops.ed.undo()
    assert group("Object 1") == inside | {0, 1, 2, 3}


def test_an_object_can_be_made_by_hand_alone(blender, session):
    add_mesh(POINTS)
    edit_mode()
    select([5, 6, 7])
    press(blender, "add_by_hand")
    assert group("Object 1") == {5, 6, 7}
    object_mode()
    assert set(np.flatnonzero(instance() == 1).tolist()) == {5, 6, 7}


def test_by_hand_needs_a_selection_and_says_so(scan, session):
    edit_mode()
    select([])
    assert scan.ops.scanpick.add_by_hand() == {"CANCELLED"}
    assert "No vertex is selected" in notice(scan, session)
    object_mode()
    assert not scan.ops.scanpick.add_by_hand.poll()


def test_what_is_left_is_shown_piece_by_piece(connected, blender, session, module):
    parts = [grid_points(30), grid_points(20) + [5, 0, 0], grid_points(10) + [10, 0, 0], [[20, 0, 0]]]
    add_mesh(np.concatenate(parts))
    said = []
    for _ in range(4):
        assert blender.ops.scanpick.next_left() == {"FINISHED"}
        said.append(notice(blender, session))
    assert [text.split(":")[0] for text in said] == [
        "Piece 1 of 3", "Piece 2 of 3", "Piece 3 of 3", "Piece 1 of 3",
    ]  # fmt: skip
    assert "900 vertices" in said[0] and "100 vertices" in said[2] and "100%" in said[0]
    assert blender.context.window_manager.scanpick_view.mode == "LEFT"
    edit_mode()
    select(range(900))
    press(blender, "add_by_hand")
    blender.ops.scanpick.next_left()
    assert "of 2: 400" in notice(blender, session)
    select(range(1401))
    press(blender, "add_by_hand")
    assert blender.ops.scanpick.next_left() == {"CANCELLED"}
    assert "no large piece left" in notice(blender, session)


def test_the_view_moves_to_a_piece(blender, module):
    from types import SimpleNamespace

    obj = add_mesh(grid_points() + [7, 0, 0])
    obj.location = (0, 3, 0)
    blender.context.view_layer.update()
    space = next(a.spaces.active for s in blender.data.screens for a in s.areas if a.type == "VIEW_3D")
    region = SimpleNamespace(width=800, height=400)
    place = SimpleNamespace(region_data=space.region_3d, region=region, space_data=space)
    module("operators.left").frame(place, obj, grid_points() + [7, 0, 0])
    assert np.allclose(space.region_3d.view_location, (7.975, 3.975, 0), atol=1e-4)
    assert 2 < space.region_3d.view_distance < 8
