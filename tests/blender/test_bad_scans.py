"""Scans in a state that clicks were not made for: a sentence or a mask, and nothing lost."""

import time
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from conftest import (
    VOXEL,
    add_mesh,
    ball,
    click,
    edit_mode,
    grid_points,
    group,
    instance,
    listed,
    notice,
    object_mode,
    pump,
    select,
)

POINTS = grid_points()
MIDDLE, FAR = 820, 195


@pytest.fixture
def trouble(module):
    return module("operators.common").trouble


@pytest.mark.parametrize("scale", [(-1, 1, 1), (-2, -2, -2), (1, 0.5, 3)])
def test_mirrored_and_stretched_objects_are_clicked_as_they_look(scan, session, scale):
    obj = scan.data.objects["scan"]
    obj.scale = scale
    scan.context.view_layer.update()
    click(scan, session, MIDDLE)
    away = np.linalg.norm((POINTS - POINTS[MIDDLE]) * np.array(scale), axis=1)
    assert abs(len(group("Object 1")) - (away <= 10 * VOXEL).sum()) <= 4
    before = group("Object 1")
    assert scan.ops.scanpick.grow_mask() == {"FINISHED"}
    assert group("Object 1") > before


def test_a_scale_of_zero_is_said_by_clicks_and_by_finishing(scan, session):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    scan.data.objects["scan"].scale = (1, 0, 1)
    scan.context.view_layer.update()
    for operator in (scan.ops.scanpick.grow_mask, scan.ops.scanpick.next_left):
        assert operator() == {"CANCELLED"}
        assert "scaled to nothing" in notice(scan, session)
    assert scan.ops.scanpick.click(vertex=FAR) == {"CANCELLED"}
    assert group("Object 1") == before


def test_shape_keys_stay(scan, session):
    obj = scan.data.objects["scan"]
    obj.shape_key_add(name="Basis")
    key = obj.shape_key_add(name="Lifted")
    lifted = POINTS + [0, 0, 1]
    key.data.foreach_set("co", lifted.ravel().astype(np.float32))
    key.value = 1.0
    scan.ops.ed.undo_push(message="Keys")
    click(scan, session, MIDDLE)
    assert group("Object 1") == ball(POINTS, MIDDLE, VOXEL)
    obj.active_shape_key_index = 1
    edit_mode()
    select([FAR])
    scan.ops.scanpick.click_selection(positive=True)
    pump(session)
    object_mode()
    assert FAR in group("Object 1")
    values = np.empty(len(POINTS) * 3, dtype=np.float32)
    scan.data.objects["scan"].data.shape_keys.key_blocks["Lifted"].data.foreach_get("co", values)
    assert np.allclose(values.reshape(-1, 3), lifted)


@pytest.mark.parametrize("kind", ["SUBSURF", "ARRAY", "MULTIRES", "DECIMATE"])
def test_modifiers_are_left_alone_and_it_is_said(connected, blender, session, kind):
    corner = (np.arange(39)[:, None] * 40 + np.arange(39)).ravel()
    obj = add_mesh(POINTS, np.stack([corner, corner + 1, corner + 41, corner + 40], axis=1))
    listed(blender).voxel_size = VOXEL
    obj.modifiers.new("Changed", kind)
    if kind == "MULTIRES":
        with blender.context.temp_override(object=obj, active_object=obj):
            blender.ops.object.multires_subdivide(modifier="Changed")
    blender.ops.ed.undo_push(message="Modifier")
    click(blender, session, MIDDLE)
    assert MIDDLE in group("Object 1")
    assert "without its modifiers (Changed)" in notice(blender, session)
    obj = blender.data.objects["scan"]
    assert [m.type for m in obj.modifiers] == [kind] and len(obj.data.vertices) == len(POINTS)
    obj.modifiers[0].show_viewport = False
    click(blender, session, FAR)
    assert "modifiers" not in notice(blender, session)


def test_other_modes_are_said(scan, session, trouble):
    click(scan, session, MIDDLE)
    for mode in ("SCULPT", "WEIGHT_PAINT"):
        scan.ops.object.mode_set(mode=mode)
        assert not scan.ops.scanpick.click.poll() and not scan.ops.scanpick.grow_mask.poll()
        assert trouble(scan.context) == "Go to Object Mode or Edit Mode first"
        scan.ops.object.mode_set(mode="OBJECT")
    click(scan, session, FAR)


def test_instances_of_a_collection_are_no_scan_and_it_is_said(scan, session, trouble):
    collection = scan.data.collections.new("room")
    collection.objects.link(scan.data.objects["scan"])
    instancer = scan.data.objects.new("room", None)
    instancer.instance_type, instancer.instance_collection = "COLLECTION", collection
    scan.context.collection.objects.link(instancer)
    scan.context.view_layer.objects.active = instancer
    assert not scan.ops.scanpick.click.poll()
    assert trouble(scan.context) == "Select a scan first: a mesh or a point cloud"


@pytest.mark.parametrize("how", ["disabled", "excluded", "no meshes"])
def test_a_scan_that_the_viewport_does_not_show_is_neither_drawn_nor_clicked(blender, module, how):
    scene, obj = blender.context.scene, add_mesh(POINTS)
    room = blender.data.collections.new("room")
    scene.collection.children.link(room)
    room.objects.link(obj)
    scene.collection.objects.unlink(obj)
    instancer = blender.data.objects.new("instance", None)
    instancer.instance_type, instancer.instance_collection = "COLLECTION", room
    scene.collection.objects.link(instancer)
    space = next(a.spaces.active for s in blender.data.screens for a in s.areas if a.type == "VIEW_3D")
    context = SimpleNamespace(space_data=space, view_layer=blender.context.view_layer, object=instancer)

    def shown():
        blender.context.view_layer.update()
        meant = module("operators.view_click")._may_be_meant(context, obj)
        assert module("overlay.draw").drawn_objects(context) == [obj] * meant
        return meant

    assert shown()
    if how == "disabled":
        room.hide_viewport = True
    elif how == "excluded":
        context.view_layer.layer_collection.children["room"].exclude = True
    else:
        space.show_object_viewport_mesh = False
    assert not shown()


def test_where_the_active_scan_is_linked_a_click_says_so_and_one_beside_it_chooses_another(
    scan, session, module, monkeypatch, tmp_path
):
    path = str(tmp_path / "linked.blend")
    linked = scan.data.objects.new("linked", scan.data.meshes.new("linked"))
    linked.data.from_pydata(POINTS.tolist(), [], [])
    scan.data.libraries.write(path, {linked})
    scan.data.objects.remove(linked)
    with scan.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["linked"]
    linked = scan.data.objects["linked"]
    scan.context.collection.objects.link(linked)
    scan.context.view_layer.objects.active = linked
    window = scan.context.window_manager.windows[0]
    area = next(a for a in window.screen.areas if a.type == "VIEW_3D")
    region = next(r for r in area.regions if r.type == "WINDOW")
    view_click = module("operators.view_click")
    seen = module("tool.seeing").Sight(MIDDLE, tuple(POINTS[MIDDLE].tolist()))
    under_the_mouse = linked
    monkeypatch.setattr(view_click, "_sight", lambda _, __, obj, exact: seen if obj == under_the_mouse else None)
    click = view_click.SCANPICK_OT_click
    operator = SimpleNamespace(positive=True, report=lambda *_: None, _press=lambda *at: click._press(operator, *at))
    event = SimpleNamespace(mouse_region_x=0, mouse_region_y=0)
    with scan.context.temp_override(window=window, area=area, region=region):
        assert scan.ops.scanpick.click.poll() and click.invoke(operator, scan.context, event) == {"CANCELLED"}
        assert "linked from another file" in notice(scan, session, "linked")
        under_the_mouse = scan.data.objects["scan"]
        assert click.invoke(operator, scan.context, event) == {"FINISHED"}
    pump(session)
    assert scan.context.object.name == "scan" and group("Object 1") == ball(POINTS, MIDDLE, VOXEL)


def test_thousands_of_other_objects_hold_nothing_up(blender, session):
    for _ in range(2000):
        other = blender.data.objects.new("other", blender.data.meshes.new("other"))
        blender.context.collection.objects.link(other)
    blender.context.view_layer.update()
    session.pump()
    for mesh in blender.data.meshes:
        mesh.update_tag()
    begun = time.perf_counter()
    blender.context.view_layer.update()
    told = time.perf_counter()
    session.pump()
    assert time.perf_counter() - told < max(2 * (told - begun), 0.5), "more than Blender itself took"


def test_hidden_vertices_are_neither_taken_nor_lost(scan, session):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    edit_mode()
    inside, outside = MIDDLE + 1, MIDDLE + 5
    select([inside, outside])
    scan.ops.mesh.hide()
    scan.ops.ed.undo_push(message="Hide")
    select([MIDDLE + 3])
    scan.ops.scanpick.click_selection(positive=True)
    pump(session)
    assert outside in ball(POINTS, MIDDLE + 3, VOXEL) and outside not in group("Object 1")
    select([MIDDLE + 2])
    scan.ops.scanpick.click_selection(positive=False)
    pump(session)
    assert inside in group("Object 1")
    assert "hidden" in notice(scan, session)
    for _ in range(3):
        scan.ops.scanpick.grow_mask("EXEC_DEFAULT", True, repeat=3)
    assert outside not in group("Object 1") and len(group("Object 1")) > len(before)


@pytest.mark.parametrize(
    "name", ["a/b\\c", "🪑🛋️ Stuhl", "x" * 200, "🪑" * 40, "  two\nlines ", "..", "Ünïcödé: “lamp” {0} %s"]
)
def test_names_with_slashes_emoji_and_too_many_letters(scan, session, name, tmp_path):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    listed(scan).objects[0].name = name
    kept = listed(scan).objects[0].name
    assert kept and "\n" not in kept and len(kept.encode()) <= 63
    assert [g.name for g in scan.data.objects["scan"].vertex_groups] == [kept]
    assert group(kept) == before
    click(scan, session, FAR)
    assert group(kept) == before | ball(POINTS, FAR, VOXEL)
    scan.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    scan.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert [o.name for o in listed(scan).objects] == [kept]
    click(scan, session, FAR + 3, positive=False)
    assert len(scan.data.objects["scan"].vertex_groups) == 1


def test_two_objects_never_share_a_name(scan, session):
    click(scan, session, MIDDLE)
    scan.ops.scanpick.object_new(name="🪑" * 40)
    scan.ops.scanpick.object_new(name="🪑" * 40)
    listed(scan).objects[0].name = "🪑" * 40
    names = [o.name for o in listed(scan).objects]
    assert len(set(names)) == 3 and all(len(n.encode()) <= 63 for n in names)


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT"])
def test_a_group_renamed_by_hand_is_still_the_object(scan, session, mode):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    scan.data.objects["scan"].vertex_groups["Object 1"].name = "chair"
    scan.ops.ed.undo_push(message="Rename")
    if mode == "EDIT":
        edit_mode()
        select([FAR])
        scan.ops.scanpick.click_selection(positive=True)
        pump(session)
    else:
        click(scan, session, FAR)
    assert [o.name for o in listed(scan).objects] == ["chair"]
    assert [g.name for g in scan.data.objects["scan"].vertex_groups] == ["chair"]
    assert group("chair") == before | ball(POINTS, FAR, VOXEL)
    scan.ops.ed.undo()
    assert group("chair") == before


def test_a_group_renamed_and_edited_by_hand(scan, session):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    renamed = scan.data.objects["scan"].vertex_groups["Object 1"]
    renamed.name = "chair"
    renamed.add([0, 1], 1.0, "REPLACE")
    renamed.remove([MIDDLE + 1])
    scan.ops.ed.undo_push(message="Edit")
    click(scan, session, FAR)
    assert group("chair") == (before | {0, 1} | ball(POINTS, FAR, VOXEL)) - {MIDDLE + 1}


def test_a_renamed_group_is_in_the_list_and_in_files_before_the_next_click(scan, session, tmp_path):
    click(scan, session, MIDDLE)
    obj = scan.data.objects["scan"]
    obj.vertex_groups["Object 1"].name = "chair"
    scan.ops.scanpick.export_objects(directory=str(tmp_path), format="PLY")
    assert [path.name for path in tmp_path.iterdir()] == ["chair.ply"]
    scan.context.view_layer.update()
    pump(session)
    assert [(o.name, o.vertices) for o in listed(scan).objects] == [("chair", len(group("chair")))]
    scan.ops.ed.undo_push(message="Rename")
    scan.ops.ed.undo()
    pump(session)
    assert [o.name for o in listed(scan).objects] == ["Object 1"] and MIDDLE in group("Object 1")
    scan.ops.ed.redo()
    pump(session)
    assert [o.name for o in listed(scan).objects] == ["chair"] and MIDDLE in group("chair")


def test_a_deleted_group_leaves_an_empty_row_in_the_list(scan, session):
    click(scan, session, MIDDLE)
    scan.ops.object.vertex_group_remove()
    scan.context.view_layer.update()
    pump(session)
    assert [(o.name, o.clicks, o.vertices) for o in listed(scan).objects] == [("Object 1", 1, 0)]
    assert (instance() == -1).all()


def test_the_list_counts_what_an_applied_modifier_left(scan, session):
    click(scan, session, MIDDLE)
    obj = scan.data.objects["scan"]
    obj.modifiers.new("Mask", "MASK").vertex_group = "Object 1"
    scan.ops.object.modifier_apply(modifier="Mask")
    scan.context.view_layer.update()
    left = len(obj.data.vertices)
    assert 0 < left < len(POINTS)
    pump(session)
    assert [o.vertices for o in listed(scan).objects] == [left]


def test_a_group_deleted_by_hand_comes_back_with_the_next_click(scan, session):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    scan.ops.scanpick.object_new(name="other")
    click(scan, session, FAR)
    obj = scan.data.objects["scan"]
    obj.vertex_groups.remove(obj.vertex_groups["Object 1"])
    scan.ops.ed.undo_push(message="Delete group")
    click(scan, session, FAR + 1)
    assert (instance() != 1).all() and group("Object 1") == set()
    listed(scan).active = 0
    click(scan, session, MIDDLE + 1)
    assert group("Object 1") == before | ball(POINTS, MIDDLE + 1, VOXEL), "its first click still counts"
    assert set(np.flatnonzero(instance() == 1).tolist()) == group("Object 1")


def test_a_group_painted_in_between_goes_through_finishing_and_threshold(scan, session):
    click(scan, session, MIDDLE)
    obj = scan.data.objects["scan"]
    obj.vertex_groups["Object 1"].add([0, 1, 2], 1.0, "REPLACE")
    scan.ops.ed.undo_push(message="Paint")
    listed(scan).objects[0].threshold = 0.8
    assert {0, 1, 2} <= group("Object 1")
    assert scan.ops.scanpick.grow_mask("EXEC_DEFAULT", True) == {"FINISHED"}
    assert {0, 1, 2} < group("Object 1")
    click(scan, session, MIDDLE + 1)
    assert {0, 1, 2} <= group("Object 1")


def members(scan, name, first=0, last=None):
    """Vertices of a group from `first` on, counted from there."""
    return {v - first for v in group(name) if first <= v < (last or len(scan.data.objects["scan"].data.vertices))}


def join(scan, name, session):
    """Join the scan `name` to the active one, as Ctrl+J does."""
    for obj in scan.data.objects:
        obj.select_set(obj.name in ("scan", name))
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    scan.ops.object.join()
    scan.ops.ed.undo_push(message="Join")
    pump(session)


def rows(scan):
    return [(row.number, row.name, row.clicks, row.vertices) for row in listed(scan).objects]


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT"])
def test_objects_of_a_scan_that_is_joined_stay_objects_of_their_own(scan, session, mode):
    count = len(POINTS)
    if mode == "OBJECT":
        click(scan, session, MIDDLE)
    else:
        edit_mode()
        select([MIDDLE])
        scan.ops.scanpick.click_selection(positive=True)
        pump(session)
        object_mode()
    lamp = group("Object 1")
    add_mesh(POINTS + [5, 0, 0], name="other")
    listed(scan, "other").voxel_size = VOXEL
    if mode == "OBJECT":
        click(scan, session, 100)
        click(scan, session, 101)
        scan.ops.scanpick.next_object()
        click(scan, session, 1500)
    else:
        edit_mode()
        select([100], "other")
        scan.ops.scanpick.click_selection(positive=True)
        pump(session)
        object_mode()
    listed(scan, "other").objects[0].name = "Object 1"
    chair = group("Object 1", "other")
    join(scan, "other", session)
    assert rows(scan)[:2] == [(1, "Object 1", 1, len(lamp)), (2, "Object 1.001", 0, len(chair))]
    assert group("Object 1") == lamp and members(scan, "Object 1.001", count) == chair
    if mode == "OBJECT":
        assert rows(scan)[2][:3] == (3, "Object 2", 0) and min(group("Object 2")) >= count
        assert notice(scan, session).startswith("2 objects came by joining")
    listed(scan).active = 0
    click(scan, session, MIDDLE + 1)
    assert lamp <= group("Object 1") and max(group("Object 1")) < count
    assert members(scan, "Object 1.001", count) == chair
    scan.ops.ed.undo()
    pump(session)
    assert rows(scan)[:2] == [(1, "Object 1", 1, len(lamp)), (2, "Object 1.001", 0, len(chair))]
    scan.ops.ed.undo()
    pump(session)
    assert rows(scan) == [(1, "Object 1", 1, len(lamp))] and group("Object 1") == lamp
    scan.ops.ed.redo()
    pump(session)
    assert rows(scan)[:2] == [(1, "Object 1", 1, len(lamp)), (2, "Object 1.001", 0, len(chair))]


def test_joining_does_not_bring_undone_clicks_back(scan, session):
    add_mesh(POINTS + [5, 0, 0], name="other")
    for vertex in (100, 101, 102, 103, 104):
        click(scan, session, vertex)
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    for vertex in (MIDDLE, MIDDLE + 1, MIDDLE + 2):
        click(scan, session, vertex)
    for _ in range(2):
        scan.ops.ed.undo()
        pump(session)
    join(scan, "other", session)
    click(scan, session, MIDDLE + 3)
    assert [row[2] for row in rows(scan)] == [2, 0]


@pytest.mark.parametrize("active", ["neither", "the other"])
def test_joining_labelled_and_clicked_scans_mixes_no_numbers(scan, session, active):
    count = len(POINTS)
    if active == "neither":
        click(scan, session, MIDDLE)
    other = add_mesh(POINTS + [5, 0, 0], name="other")
    if active == "neither":
        other.data.attributes.new("instance", "INT", "POINT").data.foreach_set("value", np.ones(count, dtype=np.int32))
    else:
        click(scan, session, MIDDLE)
    join(scan, "other", session)
    values = instance()
    inside, outside = (values[:count], values[count:]) if active == "neither" else (values[count:], values[:count])
    assert (outside == -1).all() and set(inside) == {-1, 1}
    imported = scan.data.objects["scan"].data.attributes.get("instance.imported")
    assert (imported is not None) == (active == "neither")
    assert [row[:3] for row in rows(scan)] == [(1, "Object 1", int(active == "neither"))]


def test_three_scans_are_joined_at_once(scan, session):
    count = len(POINTS)
    for place, name in enumerate(("scan", "b", "c")):
        if place:
            add_mesh(POINTS + [5 * place, 0, 0], name=name)
        listed(scan, name).voxel_size = VOXEL
        click(scan, session, MIDDLE)
    for obj in scan.data.objects:
        obj.select_set(True)
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    scan.ops.object.join()
    pump(session)
    assert [row[1:3] for row in rows(scan)] == [("Object 1", 1), ("Object 1.001", 0), ("Object 1.002", 0)]
    found = [members(scan, name, count * place) for place, (_, name, _, _) in enumerate(rows(scan))]
    assert found[0] and found[0] == found[1] == found[2]


@pytest.mark.skipif(bpy.app.version < (5, 0, 0), reason="meshes become point clouds in Blender 5.0 and newer")
def test_a_scan_that_becomes_a_point_cloud_and_a_mesh_again_keeps_its_objects(scan, session):
    click(scan, session, MIDDLE)
    listed(scan).objects[0].name = "chair"
    chair = group("chair")
    scan.ops.scanpick.next_object()
    click(scan, session, 10)
    before = [row[1::2] for row in rows(scan)]
    for target in ("POINTCLOUD", "MESH"):
        scan.ops.object.convert(target=target)
        scan.context.view_layer.update()
        pump(session)
        obj = scan.data.objects["scan"]
        assert obj.type == target and [row[1::2] for row in rows(scan)] == before
        assert "masks without their clicks" in notice(scan, session)
        assert set(np.flatnonzero(instance() == listed(scan).objects[0].number).tolist()) == chair
    assert group("chair") == chair
    listed(scan).active = 0
    click(scan, session, MIDDLE)
    assert [row.clicks for row in listed(scan).objects] == [1, 0]


def test_joined_and_split_meshes_say_so_or_go_on(scan, session):
    click(scan, session, MIDDLE)
    before = group("Object 1")
    other = scan.data.meshes.new("more")
    other.from_pydata((POINTS + [5, 0, 0]).tolist(), [], [])
    more = scan.data.objects.new("more", other)
    scan.context.collection.objects.link(more)
    more.select_set(True)
    scan.context.view_layer.objects.active = scan.data.objects["scan"]
    scan.ops.object.join()
    scan.ops.ed.undo_push(message="Join")
    obj = scan.data.objects["scan"]
    assert len(obj.data.vertices) == 2 * len(POINTS)
    click(scan, session, len(POINTS) + MIDDLE)
    now = group("Object 1")
    assert len(POINTS) + MIDDLE in now and before <= now
