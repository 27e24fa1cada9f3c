"""What is hidden of a scan is neither drawn nor clicked, and Blender's own display of the scan comes back."""

import sys

import bpy
import numpy as np
import pytest
from conftest import (
    ADDON,
    add_mesh,
    click,
    edit_mode,
    enable_again,
    grid_points,
    group,
    listed,
    looking_down,
    notice,
    object_mode,
)

FLOOR = grid_points()
ROOM = np.concatenate([FLOOR, FLOOR + [0, 0, 1]])
CEILING = list(range(len(FLOOR), len(ROOM)))


def button(blender, operator, **settings):
    assert getattr(blender.ops.scanpick, operator)("EXEC_DEFAULT", True, **settings) == {"FINISHED"}


def have_object(blender, name, vertices):
    """Make an object of these vertices."""
    blender.context.object.vertex_groups.new(name=name).add(vertices, 1.0, "REPLACE")
    blender.ops.ed.undo_push(message="Group")
    button(blender, "object_from_group", group=name)


@pytest.fixture
def room(blender):
    """A floor below a ceiling, which is an object; displayed as the artist has chosen."""
    add_mesh(ROOM).display_type = "SOLID"
    blender.ops.ed.undo_push(message="Display as solid")
    have_object(blender, "ceiling", CEILING)
    return blender


def view():
    """The overlay's settings: not kept, since another one comes with each file."""
    return bpy.context.window_manager.scanpick_view


def look(mode="RGB", show=True):
    """Set the overlay."""
    view().mode, view().show = mode, show


@pytest.fixture(autouse=True)
def ordinary_view(blender):
    look()
    yield
    look()


@pytest.fixture
def hidden(blender, module):
    """The module, which an add-on that was disabled in between has anew."""
    return module("overlay.hidden")


def displayed(blender, name="scan"):
    return blender.data.objects[name].display_type


def show(blender, number=1, **settings):
    button(blender, "object_show", number=number, **settings)


def choose_none(blender):
    listed(blender).active = len(listed(blender).objects)


def seen(blender, module, name="scan"):
    """Height of what a window sees in the middle of the room from above; None for nothing."""
    obj, hidden = blender.data.objects[name], module("overlay.hidden")
    found = module("tool.seeing").sight(obj, *looking_down(1, 1), exact=True, hidden=hidden.vertices(obj))
    return found and found.local[2]


def test_what_is_hidden_is_looked_through(room, module):
    assert seen(room, module) == 1
    show(room)
    assert seen(room, module) == 0
    have_object(room, "floor", range(len(FLOOR)))
    assert seen(room, module) == 0
    look("LEFT")
    assert seen(room, module) == 0, "it is the chosen object"
    choose_none(room)
    assert seen(room, module) is None
    edit_mode()
    assert module("overlay.hidden").vertices(room.context.object) is None, "there Blender shows every vertex"
    object_mode()
    look(show=False)
    assert seen(room, module) == 1


def test_of_a_scan_too_large_to_be_sorted_as_well(room, module, monkeypatch):
    monkeypatch.setattr(module("tool.seeing"), "HOVER_LIMIT", 500)
    show(room)
    assert seen(room, module) == 0


def test_it_is_not_drawn_or_listed(room, module):
    obj = room.context.object
    palette, listed_items = module("overlay.draw").palette, module("overlay.markers")._legend_items
    have_object(room, "lamp", [0, 1, 2])
    show(room)
    assert palette(obj, view())[:, 3].tolist() == pytest.approx([0, 0, -1, view().opacity])
    assert [item.name for item in listed_items(obj)] == ["lamp"]
    look("LEFT")
    assert palette(obj, view())[:, 3].tolist() == pytest.approx([0, 0.92, -1, view().opacity])
    assert [item.name for item in listed_items(obj)] == ["lamp"]
    choose_none(room)
    assert palette(obj, view())[:, 3].tolist() == pytest.approx([0, 0.92, -1, -1])
    assert listed_items(obj) == []


def test_a_scan_with_faces_keeps_all_but_the_tint(blender, module):
    corner = np.array([r * 40 + c for r in range(39) for c in range(39)])
    obj = add_mesh(FLOOR, np.stack([corner, corner + 1, corner + 41, corner + 40], axis=1))
    have_object(blender, "floor", range(len(FLOOR)))
    show(blender)
    look("LEFT")
    assert displayed(blender) == "TEXTURED" and seen(blender, module) == pytest.approx(0)
    assert (module("overlay.draw").palette(obj, view())[:, 3] >= 0).all()


def test_the_display_comes_back_when_nothing_is_hidden(room):
    for _ in range(2):
        show(room)
        assert displayed(room) == "BOUNDS"
        look("LEFT")
        show(room)
        assert displayed(room) == "BOUNDS"
        look("LABELS")
        assert displayed(room) == "SOLID"
    show(room)
    look(show=False)
    assert displayed(room) == "SOLID"
    look()
    assert displayed(room) == "BOUNDS"
    assert room.context.object.is_property_set("scanpick_display")
    button(room, "object_delete")
    assert displayed(room) == "SOLID" and not room.context.object.is_property_set("scanpick_display")


def test_the_display_goes_with_undo_and_redo(room):
    show(room)
    room.ops.ed.undo()
    assert listed(room).objects[0].visible and displayed(room) == "SOLID"
    room.ops.ed.redo()
    assert not listed(room).objects[0].visible and displayed(room) == "BOUNDS"
    show(room)
    look("LEFT")
    room.data.objects["scan"].location.x = 1
    room.ops.ed.undo_push(message="Move")
    room.ops.ed.undo()
    assert displayed(room) == "BOUNDS", "the view has no undo steps"
    room.ops.ed.undo()
    look()
    assert displayed(room) == "BOUNDS", "the eye is closed again"
    room.ops.ed.redo()
    room.ops.ed.redo()
    assert displayed(room) == "SOLID"


def test_undo_in_edit_mode_and_faces_made_there(room, hidden):
    show(room)
    edit_mode()
    show(room)
    assert displayed(room) == "SOLID"
    room.ops.ed.undo()
    assert not listed(room).objects[0].visible and displayed(room) == "BOUNDS"
    room.ops.mesh.select_all(action="SELECT")
    room.ops.mesh.edge_face_add()
    object_mode()
    room.context.view_layer.update()
    hidden.follow()
    assert len(room.context.object.data.polygons) and displayed(room) == "SOLID"


def test_no_undo_step_and_no_reading_of_the_scan_come_of_it(room, module, tmp_path):
    room.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    uid = room.context.object.data.session_uid
    before = module("session.watch").version(uid)
    look("LEFT")
    room.context.view_layer.update()
    assert displayed(room) == "BOUNDS"
    assert module("session.watch").version(uid) == before
    room.ops.wm.save_mainfile()
    assert displayed(room) == "BOUNDS"
    room.ops.ed.undo()
    assert len(listed(room).objects) == 0, "the last step is still that of the object"


def test_files_have_the_display_that_the_artist_had(room, tmp_path):
    path = str(tmp_path / "room.blend")
    show(room)
    room.ops.wm.save_as_mainfile(filepath=path, copy=True)
    assert displayed(room) == "BOUNDS"
    with room.data.libraries.load(path) as (there, wanted):
        wanted.objects = there.objects
    assert wanted.objects[0].display_type == "SOLID" and not wanted.objects[0].is_property_set("scanpick_display")
    room.ops.wm.open_mainfile(filepath=path)
    assert displayed(room) == "BOUNDS"
    show(room)
    assert displayed(room) == "SOLID"


def test_a_file_that_could_not_be_saved(room, tmp_path):
    show(room)
    with pytest.raises(RuntimeError):
        room.ops.wm.save_as_mainfile(filepath=str(tmp_path / "no such folder" / "room.blend"))
    assert displayed(room) == "BOUNDS"


def test_a_file_written_past_the_handlers_as_after_a_crash(room, tmp_path):
    path = str(tmp_path / "room.blend")
    look("LEFT")
    room.data.libraries.write(path, {room.context.scene})
    look()
    room.ops.wm.read_homefile(use_factory_startup=False, use_empty=True)
    room.ops.wm.append(directory=path + "/Object/", filename="scan")
    sys.modules[f"{ADDON}.overlay.hidden"].follow()
    assert displayed(room) == "SOLID"


@pytest.mark.parametrize("local", [False, True])
def test_of_a_linked_scan_nothing_is_hidden_as_its_eyes_can_not_be_opened(room, module, tmp_path, local):
    path = str(tmp_path / "room.blend")
    show(room)
    room.ops.wm.save_as_mainfile(filepath=path)
    room.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with room.data.libraries.load(path, link=True) as (there, wanted):
        wanted.objects, wanted.meshes = there.objects, there.meshes
    obj = room.data.objects.new("scan", wanted.meshes[0]) if local else wanted.objects[0]
    room.context.collection.objects.link(obj)
    room.context.view_layer.objects.active = obj
    look("LEFT")
    module("overlay.hidden").synchronise()
    assert not room.ops.scanpick.object_show.poll()
    assert module("overlay.hidden").vertices(obj) is None and obj.display_type == ("TEXTURED" if local else "SOLID")


def test_copies_have_it_back_too(room, hidden):
    show(room)
    for linked in (False, True):
        room.context.view_layer.objects.active = room.data.objects["scan"]
        room.ops.object.select_all(action="DESELECT")
        room.data.objects["scan"].select_set(True)
        room.ops.object.duplicate(linked=linked)
    room.context.view_layer.update()
    hidden.follow()
    assert [displayed(room, name) for name in ("scan", "scan.001", "scan.002")] == ["BOUNDS"] * 3
    room.context.view_layer.objects.active = room.data.objects["scan.001"]
    show(room)
    assert [displayed(room, name) for name in ("scan", "scan.001", "scan.002")] == ["BOUNDS", "SOLID", "BOUNDS"]
    room.data.objects.remove(room.data.objects["scan"])
    room.context.view_layer.objects.active = room.data.objects["scan.002"]
    show(room)
    assert displayed(room, "scan.002") == "SOLID"


def test_an_artist_who_displays_it_otherwise_is_obeyed(room, hidden, tmp_path):
    show(room)
    room.context.object.display_type = "WIRE"
    hidden.synchronise()
    room.ops.wm.save_as_mainfile(filepath=str(tmp_path / "room.blend"))
    assert displayed(room) == "WIRE"
    show(room)
    assert displayed(room) == "WIRE"
    room.context.object.display_type = "BOUNDS"
    show(room)
    show(room)
    assert displayed(room) == "BOUNDS"


def test_the_addon_goes_and_comes(room, hidden):
    show(room)
    hidden.follow()
    room.ops.preferences.addon_disable(module=ADDON)
    assert displayed(room) == "SOLID"
    enable_again()
    assert displayed(room) == "BOUNDS"


def test_the_eye_with_ctrl_shows_one_object_and_again_all(room):
    have_object(room, "lamp", [0, 1, 2])
    have_object(room, "table", [3, 4, 5])

    def shown():
        return [item.name for item in listed(room).objects if item.visible]

    show(room, 2)
    assert shown() == ["ceiling", "table"]
    show(room, 2, alone=True)
    assert shown() == ["lamp"]
    room.ops.ed.undo()
    assert shown() == ["ceiling", "table"]
    show(room, 2, alone=True)
    show(room, 2, alone=True)
    assert shown() == ["ceiling", "lamp", "table"] and displayed(room) == "SOLID"
    assert room.ops.scanpick.object_show(number=9) == {"CANCELLED"}


def test_a_click_opens_the_eye_of_the_object_that_it_changes(scan, session):
    click(scan, session, 820)
    show(scan)
    assert notice(scan, session).startswith("Object 1:"), "what was said of the click holds"
    before = group("Object 1")
    click(scan, session, 195)
    assert group("Object 1") > before and listed(scan).objects[0].visible and displayed(scan) == "TEXTURED"
    scan.ops.ed.undo()
    assert group("Object 1") == before and not listed(scan).objects[0].visible and displayed(scan) == "BOUNDS"


@pytest.mark.skipif(bpy.app.version < (5, 0, 0), reason="meshes become point clouds in Blender 5.0 and newer")
def test_a_point_cloud(blender, module):
    add_mesh(ROOM)
    blender.ops.object.convert(target="POINTCLOUD")
    cloud = blender.context.object
    cloud.data.attributes.new("ceiling", "BOOLEAN", "POINT").data.foreach_set("value", np.arange(len(ROOM)) >= 1600)
    button(blender, "object_from_group", group="ceiling")
    show(blender)
    assert cloud.display_type == "BOUNDS" and seen(blender, module, cloud.name) == 0
    show(blender)
    assert cloud.display_type == "TEXTURED" and seen(blender, module, cloud.name) == 1
