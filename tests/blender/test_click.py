"""A selection in Edit Mode becomes a click, and its mask a vertex group: one undo step."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import (
    add_mesh,
    ball,
    connect,
    edit_mode,
    grid_points,
    group,
    instance,
    listed,
    looking_down,
    notice,
    object_mode,
    pump,
    select,
)
from mathutils import Vector
from mathutils.bvhtree import BVHTree

POINTS = grid_points()
MIDDLE, CORNER = 820, 0


@pytest.fixture
def editing(connected, blender):
    """A grid of 1,600 points, 5 cm apart, in Edit Mode; the sphere then has a radius of 21 cm."""
    add_mesh(POINTS)
    bpy_scan(blender).voxel_size = 0.021
    blender.ops.ed.undo_push(message="Voxel size")
    edit_mode()
    return blender


def bpy_scan(blender):
    return blender.data.objects["scan"].data.scanpick


def click(blender, session, vertices, positive=True):
    select(vertices)
    assert blender.ops.scanpick.click_selection(positive=positive) == {"FINISHED"}
    pump(session)


def test_selection_becomes_vertex_group_and_instance(editing, session):
    click(editing, session, [MIDDLE])
    expected = ball(POINTS, MIDDLE, 0.021)
    assert len(expected) > 20
    assert group("Object 1") == expected
    object_mode()
    assert set(np.flatnonzero(instance() == 1).tolist()) == expected
    assert set(np.flatnonzero(instance() == -1).tolist()) == set(range(len(POINTS))) - expected


def test_every_selected_vertex_is_obeyed(editing, session):
    far = [0, 5, 39, 1599]
    click(editing, session, [MIDDLE])
    click(editing, session, far, positive=False)
    click(editing, session, [MIDDLE, *range(100, 140)])
    assert set(range(100, 140)) <= group("Object 1")
    assert not set(far) & group("Object 1")


def test_the_network_is_asked_to_learn_from_clicks_while_the_scans_switch_is_on(editing, session):
    bpy_scan(editing).adapt = True
    click(editing, session, [MIDDLE])
    assert group("Object 1") == ball(POINTS, MIDDLE, 1.5 * 0.021)
    bpy_scan(editing).adapt = False
    click(editing, session, [MIDDLE])
    assert group("Object 1") == ball(POINTS, MIDDLE, 0.021)


def test_the_later_click_wins(editing, session):
    click(editing, session, [MIDDLE])
    click(editing, session, [MIDDLE + 1], positive=False)
    assert MIDDLE + 1 not in group("Object 1")
    click(editing, session, [MIDDLE + 1])
    assert MIDDLE + 1 in group("Object 1")


def test_at_most_eight_clicks_of_a_selection_are_sent(editing, session, module):
    select(list(range(200)))
    editing.ops.scanpick.click_selection(positive=True)
    (pending,) = session.pending.items
    (press,) = [data for kind, _, data in pending.changes if kind == "click"]
    assert len(press["points"]) == 8
    assert set(module("scan.vertex_set").unpack(press["pins"]).tolist()) == set(range(200))
    corners = {tuple(p[:2]) for p in press["points"]}
    assert max(x for x, _ in corners) - min(x for x, _ in corners) > 1.5, "the clicks are well spread"
    pump(session)


@pytest.mark.parametrize("mode", ["EDIT", "OBJECT"])
def test_undo_takes_back_click_and_mask_in_one_step_and_redo_brings_both(editing, session, mode):
    click(editing, session, [MIDDLE])
    first = group("Object 1")
    click(editing, session, [CORNER])
    second = group("Object 1")
    if mode == "OBJECT":
        object_mode()
        editing.ops.ed.undo()
        editing.ops.ed.redo()
        assert group("Object 1") == second
        editing.ops.ed.undo()
    assert second > first
    editing.ops.ed.undo()
    assert group("Object 1") == first
    assert [item.clicks for item in bpy_scan(editing).objects] == [1]
    editing.ops.ed.undo()  # the selection of the corner
    editing.ops.ed.undo()  # the first click
    assert group("Object 1") == set()
    assert len(bpy_scan(editing).objects) == 0
    assert "Object 1" not in bpy_groups(editing), "no empty group is left behind"
    for _ in range(3):
        editing.ops.ed.redo()
    assert group("Object 1") == second
    assert [item.clicks for item in bpy_scan(editing).objects] == [2]


def bpy_groups(blender):
    return [g.name for g in blender.data.objects["scan"].vertex_groups]


def test_clicks_after_undo_start_from_what_is_left(editing, session):
    click(editing, session, [MIDDLE])
    click(editing, session, [CORNER])
    editing.ops.ed.undo()
    click(editing, session, [MIDDLE + 5], positive=False)
    assert group("Object 1") == ball(POINTS, MIDDLE, 0.021, [MIDDLE + 5])


def test_undo_before_the_mask_arrives_cancels_the_click_only(blender, session, sphere_server):
    server = sphere_server("--delay", "0.5")
    connect(session, server.address)
    add_mesh(POINTS)
    edit_mode()
    select([MIDDLE])
    blender.ops.scanpick.click_selection(positive=True)
    blender.ops.ed.undo()
    assert not session.pending.items
    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline:
        session.pump()
        time.sleep(0.01)
    assert len(bpy_scan(blender).objects) == 0 and not bpy_groups(blender)
    assert selected(blender) == {MIDDLE}, "the step before the click was not undone"


def selected(blender):
    obj = blender.data.objects["scan"]
    obj.update_from_editmode()
    return {v.index for v in obj.data.vertices if v.select}


def test_quick_clicks_each_get_their_own_undo_step(blender, session, sphere_server):
    server = sphere_server("--delay", "0.2")
    connect(session, server.address)
    add_mesh(POINTS)
    bpy_scan(blender).voxel_size = 0.021
    edit_mode()
    for vertex in (MIDDLE, CORNER, 39):
        select([vertex])
        blender.ops.scanpick.click_selection(positive=True)
    assert len(session.pending.items) == 3
    pump(session)
    assert {MIDDLE, CORNER, 39} <= group("Object 1")
    assert bpy_scan(blender).objects[0].clicks == 3
    blender.ops.ed.undo()
    assert bpy_scan(blender).objects[0].clicks == 2
    assert 39 not in group("Object 1")


def test_click_log_is_saved_and_the_next_click_continues_it(editing, session, tmp_path):
    click(editing, session, [MIDDLE])
    click(editing, session, [CORNER], positive=False)
    before = group("Object 1")
    editing.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scan.blend"))
    editing.ops.wm.open_mainfile(filepath=str(tmp_path / "scan.blend"))
    assert bpy_scan(editing).objects[0].clicks == 2
    assert group("Object 1") == before
    if editing.context.object.mode != "EDIT":
        edit_mode()
    click(editing, session, [CORNER + 3], positive=False)
    assert bpy_scan(editing).objects[0].clicks == 3
    assert group("Object 1") == ball(POINTS, MIDDLE, 0.021, [CORNER, CORNER + 3])


def test_take_back_recomputes_the_mask_without_the_last_click(editing, session):
    click(editing, session, [MIDDLE])
    first = group("Object 1")
    click(editing, session, [CORNER])
    assert editing.ops.scanpick.take_back() == {"FINISHED"}
    pump(session)
    assert group("Object 1") == first
    editing.ops.scanpick.take_back()
    pump(session)
    assert group("Object 1") == set()
    editing.ops.ed.undo()
    assert group("Object 1") == first


def test_a_vertex_group_edited_by_hand_stays_edited(editing, session):
    click(editing, session, [MIDDLE])
    object_mode()
    obj = editing.data.objects["scan"]
    obj.vertex_groups["Object 1"].add([0, 1, 2], 1.0, "REPLACE")
    obj.vertex_groups["Object 1"].remove([MIDDLE + 1])
    editing.ops.ed.undo_push(message="By hand")
    edit_mode()
    click(editing, session, [MIDDLE + 2])
    assert {0, 1, 2} <= group("Object 1")
    assert MIDDLE + 1 not in group("Object 1")
    editing.ops.ed.undo()
    assert {0, 1, 2} <= group("Object 1")


def test_a_new_object_takes_vertices_only_from_unlocked_ones(editing, session):
    click(editing, session, [MIDDLE])
    first = group("Object 1")
    editing.ops.scanpick.object_new("EXEC_DEFAULT", True)
    click(editing, session, [MIDDLE + 4])
    second = ball(POINTS, MIDDLE + 4, 0.021, excluded=[MIDDLE])  # the first object's click is told as a negative one
    assert group("Object 2") == second and second & first
    assert group("Object 1") == first - second
    editing.ops.ed.undo()
    assert group("Object 1") == first
    bpy_scan(editing).objects[0].locked = True
    editing.ops.ed.undo_push(message="Lock")
    click(editing, session, [MIDDLE + 4])
    assert group("Object 1") == first
    assert group("Object 2") == second - first


def test_after_its_faces_are_deleted_a_mesh_is_clicked_as_points(connected, blender, session, module):
    corner = np.array([r * 40 + c for r in range(39) for c in range(39)])
    obj = add_mesh(POINTS, np.stack([corner, corner + 1, corner + 41, corner + 40], axis=1))
    seeing = module("tool.seeing")
    scan = session.scan_of(obj, blender.context.scene)
    assert len(scan.triangles) == 2 * 39 * 39 and seeing._shape(obj).surface is not None
    edit_mode()
    blender.ops.mesh.select_all(action="SELECT")
    blender.ops.mesh.delete(type="ONLY_FACE")
    object_mode()
    assert session.scan_of(obj, blender.context.scene).triangles is None and seeing._shape(obj).surface is None


def test_a_large_surface_is_seen_once_all_its_parts_are_made(connected, blender, module, monkeypatch):
    surface, seeing = module("tool.surface"), module("tool.seeing")
    monkeypatch.setattr(surface, "PART", 500)
    corner = np.array([r * 40 + c for r in range(39) for c in range(39)])
    faces = np.concatenate([corner + np.array([[0], [1], [41]]), corner + np.array([[0], [41], [40]])], axis=1).T
    random = np.random.default_rng(0)
    points = POINTS + random.random((len(POINTS), 1)) * [0, 0, 0.01]
    points[700] = np.nan
    parts = seeing._shape(add_mesh(points, faces)).surface
    assert not seeing._ready(parts, now=False)
    while seeing._grow() is not None:
        pass
    assert seeing._ready(parts, now=False)

    tree = BVHTree.FromPolygons(points.tolist(), faces[(faces != 700).all(axis=1)].tolist())
    found = 0
    for x, y in random.uniform(-0.5, 2.5, (200, 2)):
        start, ray = Vector((x, y, 1)), Vector((0.1, 0.2, -1)).normalized()
        hit, (expected, normal, triangle, _) = parts.hit(start, ray), tree.ray_cast(start, ray)
        assert (hit is None) == (expected is None)
        if hit is not None:
            assert (hit.place - expected).length < 1e-5 and (hit.normal - normal).length < 1e-4
            assert (hit.corners == faces[(faces != 700).all(axis=1)][triangle]).all()
            found += 1
    assert 50 < found < 150


def test_a_click_does_not_wait_for_a_surface_to_be_made_by_and_by(connected, blender, module, monkeypatch):
    monkeypatch.setattr(module("tool.surface"), "PART", 500)
    seeing = module("tool.seeing")
    corner = np.array([r * 40 + c for r in range(39) for c in range(39)])
    obj = add_mesh(POINTS, np.stack([corner, corner + 1, corner + 41, corner + 40], axis=1))
    assert seeing._ready(seeing._shape(obj).surface, now=True)


TABLE = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
CUP = [[0, 0, 0.01], [0.1, 0, 0.01], [0, 0.1, 0.01]]


def test_a_click_on_a_face_takes_a_corner_of_that_face(connected, blender, module):
    seeing = module("tool.seeing")
    obj = add_mesh(TABLE + CUP, [[0, 1, 2], [0, 2, 3], [4, 5, 6]])
    view = looking_down(0.3, 0.2)
    for exact in (True, False):
        seeing.sight(obj, *view, exact=True)
        assert seeing.sight(obj, *view, exact=exact).vertex == 2, "the cup's vertices are nearer"
    obj.modifiers.new("Subdivision", "SUBSURF").subdivision_type = "SIMPLE"
    blender.context.view_layer.update()
    assert seeing.sight(obj, *view, exact=True).vertex == 5, "what a modifier made has no vertices of the scan"


def test_backs_of_faces_that_are_not_shown_are_looked_through(connected, blender, module):
    seeing = module("tool.seeing")
    ceiling = [[x, -y, 2] for x, y, _ in TABLE]
    obj = add_mesh(TABLE + ceiling, [[0, 1, 2, 3], [4, 5, 6, 7]])
    view = looking_down(0.3, 0.2)
    assert seeing.sight(obj, *view, exact=True).local[2] == pytest.approx(2)
    assert seeing.sight(obj, *view, exact=True, culled=True).local[2] == pytest.approx(0, abs=1e-5)
    obj.scale.x = -1
    blender.context.view_layer.update()
    assert seeing.sight(obj, *view, exact=True, culled=True).local[2] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("away", [0.0, 1_000.0, 20_000.0])
def test_clicks_on_faces_hit_what_is_under_the_mouse_far_from_the_origin_too(connected, blender, module, away):
    seeing = module("tool.seeing")
    obj = add_mesh(TABLE, [[0, 1, 2, 3]])
    obj.location = (away, away, 0)
    blender.context.view_layer.update()
    found = seeing.sight(obj, *looking_down(away, away, (60, 45)), exact=True)
    step = np.spacing(np.float32(away))  # Blender's own matrices know no finer places
    assert found.local == pytest.approx((0.6, -0.3, 0), abs=1e-4 + 2 * float(step))


def test_an_object_without_width_is_not_hit(connected, blender, module):
    obj = add_mesh(TABLE, [[0, 1, 2, 3]])
    obj.scale = (0, 0, 0)
    blender.context.view_layer.update()
    assert module("tool.seeing").sight(obj, *looking_down(0, 0), exact=True) is None


def test_backs_are_not_shown_where_the_view_or_all_materials_say_so(connected, blender, module):
    culls, obj = module("tool.seeing").culls, add_mesh(TABLE, [[0, 1, 2, 3]])

    def shading(type, backs=False):
        return SimpleNamespace(type=type, show_backface_culling=backs)

    eevee, cycles = "BLENDER_EEVEE_NEXT", "CYCLES"
    assert culls(shading("SOLID", True), eevee, obj) and not culls(shading("SOLID"), eevee, obj)
    assert not culls(shading("MATERIAL", True), eevee, obj) and not culls(shading("WIREFRAME", True), eevee, obj)
    for name in ("one", "other"):
        obj.data.materials.append(blender.data.materials.new(name))
    obj.data.materials[0].use_backface_culling = True
    assert not culls(shading("MATERIAL"), eevee, obj)
    obj.data.materials[1].use_backface_culling = True
    assert culls(shading("MATERIAL"), cycles, obj) and culls(shading("RENDERED"), eevee, obj)
    assert not culls(shading("RENDERED"), cycles, obj) and not culls(shading("SOLID"), eevee, obj)
    obj.data.materials.append(None)
    assert not culls(shading("MATERIAL"), eevee, obj)


def test_faces_that_are_turned_round_are_seen_so(connected, blender, module):
    seeing, obj = module("tool.seeing"), add_mesh(TABLE, [[0, 1, 2, 3]])
    assert seeing.sight(obj, *looking_down(0, 0), exact=True, culled=True) is not None
    obj.data.flip_normals()
    obj.data.update()
    blender.context.view_layer.update()
    assert seeing.sight(obj, *looking_down(0, 0), exact=True, culled=True) is None


def test_modifiers_and_shape_keys_change_what_is_seen(connected, blender, module):
    corner = np.array([r * 40 + c for r in range(39) for c in range(39)])
    obj = add_mesh(POINTS, np.stack([corner, corner + 1, corner + 41, corner + 40], axis=1))
    seeing = module("tool.seeing")
    flat = seeing._shape(obj)
    modifier = obj.modifiers.new("Displace", "DISPLACE")
    modifier.direction, modifier.mid_level, modifier.strength = "Z", 0.0, 0.0
    blender.context.view_layer.update()
    assert seeing._shape(obj) is not flat

    def height():
        return seeing.sight(obj, *looking_down(1.01, 1.02), exact=True).local[2]

    assert height() == pytest.approx(0, abs=1e-6)
    modifier.strength = 2.0
    blender.context.view_layer.update()
    assert height() == pytest.approx(2)
    obj.modifiers.clear()
    obj.shape_key_add(name="Basis")
    key = obj.shape_key_add(name="up")
    key.data.foreach_set("co", (POINTS + [0, 0, 1]).astype(np.float32).ravel())
    key.value = 0.0
    blender.context.view_layer.update()
    assert height() == pytest.approx(0, abs=1e-6)
    key.value = 1.0
    blender.context.view_layer.update()
    assert height() == pytest.approx(1)
    blender.data.objects.remove(obj)
    blender.data.meshes.remove(blender.data.meshes["scan"])
    seeing._shape(add_mesh(POINTS, name="other"))
    assert len(seeing._shapes) == 1


@pytest.mark.parametrize("how", ["origin", "edit mode", "scale"])
def test_clicks_go_with_their_vertices(scan, session, how):
    obj = scan.data.objects["scan"]
    scan.ops.scanpick.click(vertex=820)
    pump(session)
    before = group("Object 1")
    if how == "origin":
        scan.ops.object.origin_set(type="ORIGIN_GEOMETRY", center="BOUNDS")
    elif how == "scale":
        obj.scale = (2, 2, 2)
        scan.context.view_layer.update()
        scan.ops.object.transform_apply(location=True, rotation=True, scale=True)
        obj.data.scanpick.voxel_size *= 2
    else:
        edit_mode()
        scan.ops.mesh.select_all(action="SELECT")
        scan.ops.transform.translate(value=(3, 0, 0))
        object_mode()
    scan.ops.ed.undo_push(message="Moved")
    scan.ops.scanpick.predict_again()
    pump(session)
    assert group("Object 1") == before


def test_answers_wait_while_an_operator_holds_on_to_blenders_data(scan, session):
    session.held += 1
    scan.ops.scanpick.click(vertex=820)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        session.pump()
    assert not group("Object 1") and session.pending.items
    session.held -= 1
    pump(session)
    assert group("Object 1")


def test_a_lock_set_while_the_mask_is_on_its_way_holds(scan, session):
    scan.ops.scanpick.click(vertex=820)
    pump(session)
    before = group("Object 1")
    scan.ops.scanpick.click(vertex=830)
    listed(scan).objects[0].locked = True
    pump(session)
    assert group("Object 1") == before and "was locked meanwhile" in notice(scan, session)


def test_the_operators_of_undo_steps_can_not_be_repeated(scan, session):
    scan.ops.scanpick.click(vertex=820)
    pump(session)
    assert not scan.ops.scanpick.step_click.poll()
