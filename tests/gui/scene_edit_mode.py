"""Select vertices in Edit Mode, press Add in the sidebar, see the vertex group; undo and redo with the keyboard."""

import bpy
import numpy as np

SIDE = 120


def build_scan() -> bpy.types.Object:
    """A floor with a box on it, 5 cm apart, coloured, as one face-less mesh."""
    x, y = np.meshgrid(np.linspace(-2, 2, SIDE), np.linspace(-2, 2, SIDE))
    floor = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    u, v = np.meshgrid(np.linspace(-0.4, 0.4, 40), np.linspace(-0.4, 0.4, 40))
    top = np.stack([u.ravel(), v.ravel(), np.full(u.size, 0.8)], axis=1)
    sides = [np.stack([u.ravel(), np.full(u.size, s * 0.4), v.ravel() + 0.4], axis=1) for s in (-1, 1)] + [
        np.stack([np.full(u.size, s * 0.4), u.ravel(), v.ravel() + 0.4], axis=1) for s in (-1, 1)
    ]
    points = np.concatenate([floor, top, *sides]).astype(np.float32)
    colors = np.ones((len(points), 4), dtype=np.float32)
    colors[: len(floor), :3] = (0.5, 0.45, 0.4)
    colors[len(floor) :, :3] = (0.1, 0.3, 0.7)
    mesh = bpy.data.meshes.new("scan")
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", points.ravel())
    layer = mesh.color_attributes.new("Col", "FLOAT_COLOR", "POINT")
    layer.data.foreach_set("color", colors.ravel())
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.scene.collection.objects.link(obj)
    return obj


def open_scan(stage, build=build_scan) -> None:
    """The scan that is built alone in the file, active, seen as a whole."""
    for other in list(bpy.data.objects):
        bpy.data.objects.remove(other)
    obj = build()
    view_layer = stage.window.view_layer
    view_layer.objects.active = obj
    obj.select_set(True)
    area, region = stage.view
    with bpy.context.temp_override(window=stage.window, area=area, region=region):
        bpy.ops.view3d.view_selected()
        bpy.ops.ed.undo_push(message="Scan")
    stage.preferences.address = stage.address


def open_for_clicks(stage, voxel_size: float):
    """`open_scan`, with the sidebar open and the click tool taken; voxel_size: metres."""
    open_scan(stage)
    bpy.data.objects["scan"].data.scanpick.voxel_size = voxel_size
    yield
    yield from stage.sidebar()
    yield from stage.take_click_tool()


def members(name: str) -> set[int]:
    obj = bpy.data.objects["scan"]
    if obj.mode == "EDIT":
        obj.update_from_editmode()
    group = obj.vertex_groups.get(name)
    if group is None:
        return set()
    return {v.index for v in obj.data.vertices for g in v.groups if g.group == group.index and g.weight >= 0.5}


def button(stage, text_row: int) -> tuple[float, float]:
    """Place of the Add or Remove button of the Click panel, which is the first in the tab."""
    area, _ = stage.view
    region = next(r for r in area.regions if r.type == "UI")
    return region.x + region.width * (0.25 if text_row == 0 else 0.7), region.y + region.height - 48


def floor_seen(stage, name: str):
    """How many pixels around a place on the floor show points, by Blender or the overlay, and not the background."""
    picture = yield from stage.picture(name)
    x, y = (int(v) for v in stage.place_of((-1, -1, 0)))
    brightest = picture[y - 20 : y + 20, x - 20 : x + 20, :3].max(axis=2)
    return int(((brightest > 0.4) | (brightest < 0.1)).sum())


def play(stage):
    open_scan(stage)
    yield
    yield from stage.sidebar()
    yield from stage.shot("1_start")
    yield from stage.move(stage.place_of((0, 0, 0.4)))
    yield from stage.tap("TAB")
    yield from stage.until(lambda: bpy.data.objects["scan"].mode == "EDIT", "Edit Mode")
    area, region = stage.view
    yield from stage.tap("A", alt=True)  # select nothing
    yield from stage.tap("C")  # circle select
    yield from stage.tap("LEFTMOUSE")
    yield from stage.tap("ESC")
    yield from stage.shot("2_selected")
    obj = bpy.data.objects["scan"]
    stage.facts["selected"] = obj.data.total_vert_sel
    assert obj.data.total_vert_sel > 0, "circle select caught nothing"
    yield from stage.click(button(stage, 0))
    yield from stage.until(lambda: bool(members("Object 1")), "the vertex group")
    found = members("Object 1")
    stage.facts["members"] = len(found)
    yield from stage.shot("3_masked")
    yield from stage.move(stage.place_of((0, 0, 0.4)))
    yield from stage.tap("Z", ctrl=True)
    yield from stage.until(lambda: not members("Object 1"), "undo")
    stage.facts["selected_after_undo"] = bpy.data.objects["scan"].data.total_vert_sel
    yield from stage.tap("Z", ctrl=True, shift=True)
    yield from stage.until(lambda: members("Object 1") == found, "redo")
    stage.facts["floor_seen"] = [(yield from floor_seen(stage, "4_before_hiding"))]
    yield from stage.tap("A")
    yield from stage.tap("H")
    stage.facts["floor_seen"].append((yield from floor_seen(stage, "5_hidden")))
    yield from stage.tap("H", alt=True)
    stage.facts["floor_seen"].append((yield from floor_seen(stage, "6_shown_again")))
    yield from stage.tap("TAB")
    yield from stage.until(lambda: bpy.data.objects["scan"].mode == "OBJECT", "Object Mode")
    values = np.empty(len(bpy.data.objects["scan"].data.vertices), dtype=np.int32)
    bpy.data.objects["scan"].data.attributes["instance"].data.foreach_get("value", values)
    stage.facts["instance_agrees"] = set(np.flatnonzero(values == 1).tolist()) == found
    yield from stage.shot("7_object_mode")
