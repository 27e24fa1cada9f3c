"""Clicks on a scan while something else is the active object."""

import bpy
import numpy as np
from mathutils import Euler
from scene_edit_mode import members, open_for_clicks

LID = (0.1, -0.1, 0.8)
OVER_THE_LID = (0.0, 0.0, 1.4)
BESIDE = (-1.9, 1.9, 0.0)


def active() -> list[str]:
    return [bpy.context.view_layer.objects.active.name, *sorted(o.name for o in bpy.context.selected_objects)]


def add(name: str, data: bpy.types.ID, location: tuple[float, float, float]) -> bpy.types.Object:
    """A new object, the only one selected."""
    obj = bpy.data.objects.new(name, data)
    obj.location = location
    bpy.context.scene.collection.objects.link(obj)
    activate(obj)
    return obj


def activate(obj: bpy.types.Object) -> None:
    for other in bpy.context.selected_objects:
        other.select_set(False)
    obj.select_set(True)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.ed.undo_push(message="Select")


def cube() -> bpy.types.Mesh:
    mesh = bpy.data.meshes.new("cube")
    corners = [(x, y, z) for x in (-0.3, 0.3) for y in (-0.3, 0.3) for z in (-0.3, 0.3)]
    mesh.from_pydata(corners, [], [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)])
    return mesh


def notice(stage, name: str) -> list[str]:
    found = stage.session.notice_of(bpy.data.objects[name].data.session_uid)
    return [found.level, found.text] if found else []


def play(stage):
    yield from open_for_clicks(stage, voxel_size=0.04)
    stage.view[0].spaces.active.region_3d.view_rotation = Euler((0.3, 0, 0)).to_quaternion()
    add("cube", cube(), (3, 0, 0))
    yield from stage.pause(0.5)
    yield from stage.click(stage.place_of(LID))
    yield from stage.until(lambda: bool(members("Object 1")), "the mask")
    first = members("Object 1")
    stage.facts["clicked_from_a_cube"] = active()
    yield from stage.shot("1_clicked")
    yield from stage.tap("Z", ctrl=True)
    yield from stage.until(lambda: not members("Object 1"), "undo")
    stage.facts["click_undone"] = active()
    yield from stage.tap("Z", ctrl=True)
    yield from stage.until(lambda: active()[0] == "cube", "undo of the selection")
    yield from stage.tap("Z", ctrl=True, shift=True)
    yield from stage.tap("Z", ctrl=True, shift=True)
    yield from stage.until(lambda: members("Object 1") == first, "redo")

    activate(bpy.data.objects["cube"])
    area, region = stage.view
    yield from stage.click(stage.place_of(LID), ctrl=True)
    yield from stage.pause(0.5)
    stage.facts["removed_from_a_cube"] = [active()[0], *notice(stage, "cube")]
    yield from stage.click((region.x + 150, region.y + region.height - 80))
    yield from stage.pause(0.5)
    stage.facts["nothing_clicked"] = [active()[0], *notice(stage, "cube")]
    yield from stage.shot("2_nothing")

    add("light", bpy.data.lights.new("light", "POINT"), (3, 1, 0))
    yield from stage.pause(0.5)
    yield from stage.click(stage.place_of(LID))
    yield from stage.until(lambda: bpy.data.objects["scan"].data.scanpick.objects[0].clicks == 2, "the second click")
    stage.facts["clicked_from_a_light"] = active()

    points = bpy.data.meshes.new("points")
    points.from_pydata(np.random.default_rng(0).uniform(-0.2, 0.2, (600, 3)).tolist(), [], [])
    add("other", points, BESIDE)
    bpy.data.objects["cube"].location = OVER_THE_LID
    yield from stage.pause(0.5)
    yield from stage.click(stage.place_of((0.1, -0.1, 1.7)))
    yield from stage.pause(0.5)
    stage.facts["scan_behind_a_cube"] = [active()[0], *notice(stage, "other")]
    yield from stage.shot("3_behind")
