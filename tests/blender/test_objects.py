"""The list of objects: rename, recolour, duplicate, merge, delete, reorder, lock; each one undo step."""

import numpy as np
import pytest
from conftest import add_mesh, ball, grid_points, group, instance, pump

POINTS = grid_points()
LEFT, MIDDLE, RIGHT = 805, 820, 835


@pytest.fixture
def three(connected, blender, session):
    """A grid with three objects of a ball each, in Object Mode."""
    add_mesh(POINTS)
    bpy_scan(blender).voxel_size = 0.021
    for vertex in (LEFT, MIDDLE, RIGHT):
        click(blender, session, vertex)
        blender.ops.scanpick.next_object(accept=False)
    return blender


def bpy_scan(blender):
    return blender.data.objects["scan"].data.scanpick


def names(blender):
    return [item.name for item in bpy_scan(blender).objects]


def click(blender, session, vertex, positive=True):
    result = blender.ops.scanpick.click(vertex=vertex, positive=positive)
    pump(session)
    return result


def choose(blender, place):
    bpy_scan(blender).active = place


def push(blender):
    """In the window Blender pushes an operator's undo step itself."""
    blender.ops.ed.undo_push(message="Step")


def test_every_click_belongs_to_the_chosen_object(three):
    assert names(three) == ["Object 1", "Object 2", "Object 3"]
    for place, vertex in enumerate((LEFT, MIDDLE, RIGHT), 1):
        assert group(f"Object {place}") == ball(POINTS, vertex, 0.021)
        assert set(np.flatnonzero(instance() == place).tolist()) == group(f"Object {place}")


def test_a_new_name_is_the_groups_name_and_stays_unique(three):
    bpy_scan(three).objects[0].name = "Lamp"
    bpy_scan(three).objects[1].name = "Lamp"
    assert names(three) == ["Lamp", "Lamp.001", "Object 3"]
    assert group("Lamp") == ball(POINTS, LEFT, 0.021) and group("Lamp.001") == ball(POINTS, MIDDLE, 0.021)


def test_a_new_colour_is_kept_by_the_journal(three, module):
    bpy_scan(three).objects[1].color = (0.1, 0.2, 0.3)
    geometry = module("scan.geometry").Geometry(three.data.objects["scan"])
    assert module("session.journal").state(geometry).get(2).color == pytest.approx((0.1, 0.2, 0.3), abs=1e-4)


def test_delete_gives_the_vertices_back_and_undo_brings_all_again(three):
    push(three)
    choose(three, 1)
    three.ops.scanpick.object_delete()
    push(three)
    assert names(three) == ["Object 1", "Object 3"]
    assert "Object 2" not in [g.name for g in three.data.objects["scan"].vertex_groups]
    assert not (instance() == 2).any()
    three.ops.ed.undo()
    assert names(three) == ["Object 1", "Object 2", "Object 3"]
    assert group("Object 2") == ball(POINTS, MIDDLE, 0.021)
    assert bpy_scan(three).objects[1].clicks == 1


def test_merge_takes_vertices_and_clicks_of_the_next_one(three):
    choose(three, 0)
    three.ops.scanpick.object_merge()
    assert names(three) == ["Object 1", "Object 3"]
    assert group("Object 1") == ball(POINTS, LEFT, 0.021) | ball(POINTS, MIDDLE, 0.021)
    assert bpy_scan(three).objects[0].clicks == 2


def test_the_last_one_has_nothing_to_merge_with(three):
    choose(three, 2)
    assert not three.ops.scanpick.object_merge.poll()


def test_a_copy_shares_the_mask_and_has_its_own_clicks_from_then_on(three, session):
    choose(three, 1)
    three.ops.scanpick.object_duplicate()
    assert len(names(three)) == 4 and bpy_scan(three).overlap
    copy = bpy_scan(three).active_item().name
    assert group(copy) == group("Object 2") == ball(POINTS, MIDDLE, 0.021)
    click(three, session, MIDDLE + 6)
    assert group(copy) > group("Object 2")


def test_a_copy_of_a_copy_has_the_mask_and_each_keeps_it_when_the_others_go(three):
    choose(three, 1)
    three.ops.scanpick.object_duplicate()
    three.ops.scanpick.object_duplicate()
    whole = ball(POINTS, MIDDLE, 0.021)
    copies = names(three)[1:4]
    assert all(group(name) == whole for name in copies)
    for name in copies[:2]:
        choose(three, names(three).index(name))
        three.ops.scanpick.object_delete()
    last = bpy_scan(three).objects[1]
    assert last.name == copies[2] and last.vertices == len(whole)
    assert set(np.flatnonzero(instance() == last.number).tolist()) == whole


def test_merging_objects_that_overlap_loses_nothing(three, session):
    bpy_scan(three).overlap = True
    choose(three, 3)
    click(three, session, MIDDLE + 2)  # a fourth one over the second
    three.ops.scanpick.next_object(accept=False)
    choose(three, 2)  # the third one goes below it
    three.ops.scanpick.object_move(direction="DOWN")
    second, fourth = group("Object 2"), group("Object 4")
    assert second & fourth
    choose(three, 1)
    three.ops.scanpick.object_merge()
    assert names(three) == ["Object 1", "Object 2", "Object 3"]
    assert group("Object 2") == second | fourth
    assert set(np.flatnonzero(instance() == 2).tolist()) == second | fourth


def test_merging_takes_what_was_painted_by_hand(three):
    obj = three.data.objects["scan"]
    mask = group("Object 2")
    obj.vertex_groups["Object 2"].add([0, 1, 2], 1.0, "REPLACE")
    obj.vertex_groups["Object 2"].remove([MIDDLE, MIDDLE + 1])
    obj.data.update()
    three.context.view_layer.update()
    choose(three, 1)
    three.ops.scanpick.object_merge()
    assert group("Object 2") == (mask | {0, 1, 2}) - {MIDDLE, MIDDLE + 1} | ball(POINTS, RIGHT, 0.021)


@pytest.fixture
def overlapping(three, session):
    """Object 4 over Object 2, below it in the list; the vertices that they share."""
    bpy_scan(three).overlap = True
    choose(three, 3)
    click(three, session, MIDDLE + 2)
    three.ops.scanpick.next_object(accept=False)
    three.shared = group("Object 2") & group("Object 4")
    assert {int(instance()[v]) for v in three.shared} == {2}
    return three


def test_where_objects_overlap_the_upper_one_shows(overlapping):
    for direction in ("UP", "UP"):
        choose(overlapping, names(overlapping).index("Object 4"))
        overlapping.ops.scanpick.object_move(direction=direction)
    assert names(overlapping) == ["Object 1", "Object 4", "Object 2", "Object 3"]
    assert {int(instance()[v]) for v in overlapping.shared} == {4}


def test_without_overlap_the_upper_one_keeps_what_was_shared_and_stays(overlapping, session, module):
    second, fourth = group("Object 2"), group("Object 4")
    bpy_scan(overlapping).overlap = False
    assert group("Object 2") == second and group("Object 4") == fourth - second
    for vertex in (0, 39):
        session.groups_read.clear()  # as after undo or reopening
        click(overlapping, session, vertex)
        overlapping.ops.scanpick.next_object(accept=False)
        assert group("Object 2") == second and group("Object 4") == fourth - second


def test_without_overlap_a_locked_object_keeps_what_was_shared(overlapping):
    second, fourth = group("Object 2"), group("Object 4")
    bpy_scan(overlapping).objects[names(overlapping).index("Object 4")].locked = True
    bpy_scan(overlapping).overlap = False
    assert group("Object 4") == fourth and group("Object 2") == second - fourth
    assert {int(instance()[v]) for v in overlapping.shared} == {4}
    assert bpy_scan(overlapping).objects[names(overlapping).index("Object 4")].vertices == len(fourth)


def test_a_vertex_painted_into_another_object_leaves_its_own(three, session):
    obj = three.data.objects["scan"]
    obj.vertex_groups["Object 2"].add([LEFT], 1.0, "REPLACE")
    obj.data.update()
    three.context.view_layer.update()
    choose(three, 3)
    for vertex in (0, 39):
        session.groups_read.clear()
        click(three, session, vertex)
        assert LEFT in group("Object 2") and LEFT not in group("Object 1") and instance()[LEFT] == 2


def test_reorder_moves_one_place(three):
    choose(three, 2)
    three.ops.scanpick.object_move(direction="UP")
    assert names(three) == ["Object 1", "Object 3", "Object 2"]
    assert bpy_scan(three).active_item().name == "Object 3"
    three.ops.scanpick.object_move(direction="UP")
    three.ops.scanpick.object_move(direction="UP")
    assert names(three) == ["Object 3", "Object 1", "Object 2"]


class TestLocks:
    def test_a_new_object_takes_no_vertex_of_a_locked_one(self, three, session):
        bpy_scan(three).objects[1].locked = True
        click(three, session, MIDDLE + 6)  # its ball reaches into the locked object's
        assert group("Object 2") == ball(POINTS, MIDDLE, 0.021)
        assert group("Object 4") == ball(POINTS, MIDDLE + 6, 0.021) - group("Object 2")

    def test_a_click_on_a_locked_object_changes_nothing_says_so_and_offers_to_unlock(self, three, session):
        bpy_scan(three).objects[1].locked = True
        assert click(three, session, MIDDLE) == {"CANCELLED"}
        notice = session.notice_of(three.data.objects["scan"].data.session_uid)
        assert "locked" in notice.text and notice.operator == "scanpick.object_unlock"
        assert len(names(three)) == 3
        three.ops.scanpick.object_unlock()
        assert not bpy_scan(three).objects[1].locked
        assert bpy_scan(three).active_item().name == "Object 2"

    @pytest.mark.parametrize("operator", ["object_delete", "object_merge"])
    def test_a_locked_object_is_not_deleted_or_merged(self, three, operator):
        bpy_scan(three).objects[1].locked = True
        choose(three, 1)
        assert getattr(three.ops.scanpick, operator)() == {"CANCELLED"}
        assert names(three) == ["Object 1", "Object 2", "Object 3"]
