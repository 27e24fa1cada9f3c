"""A room without faces seen from above: the eye in the list hides its ceiling, and what lies below is clicked."""

import bpy
import numpy as np
from scene_edit_mode import members, open_scan

HEIGHT, TABLE = 2.4, 0.8
PLACE = (0.5, -0.5, TABLE)  # on the table


def build_room() -> bpy.types.Object:
    """A blue floor, a green table and a yellow ceiling over both, which is an object already."""

    def level(width: float, count: int, middle: tuple, color: tuple) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.meshgrid(np.linspace(-width / 2, width / 2, count), np.linspace(-width / 2, width / 2, count))
        points = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1) + middle
        return points, np.tile((*color, 1.0), (x.size, 1))

    parts = [
        level(4, 130, (0, 0, 0), (0.1, 0.2, 0.7)),
        level(1, 50, PLACE, (0.1, 0.6, 0.1)),
        level(4, 130, (0, 0, HEIGHT), (0.8, 0.7, 0.1)),
    ]
    points = np.concatenate([points for points, _ in parts]).astype(np.float32)
    mesh = bpy.data.meshes.new("scan")
    mesh.vertices.add(len(points))
    mesh.vertices.foreach_set("co", points.ravel())
    colors = np.concatenate([colors for _, colors in parts]).astype(np.float32)
    mesh.color_attributes.new("Col", "FLOAT_COLOR", "POINT").data.foreach_set("color", colors.ravel())
    obj = bpy.data.objects.new("scan", mesh)
    bpy.context.scene.collection.objects.link(obj)
    ceiling = range(len(points) - len(parts[-1][0]), len(points))
    obj.vertex_groups.new(name="ceiling").add(list(ceiling), 1.0, "REPLACE")
    return obj


def hovered(stage, name: str):
    """Note at which height the mouse is over the scan at the table's place."""
    yield from stage.move(stage.place_of((-1.5, 1.0, 0)))
    yield from stage.move(stage.place_of(PLACE))
    yield from stage.pause(0.5)
    hover = stage.module("tool.hover").current
    stage.facts.setdefault("hovered", {})[name] = None if hover is None else round(hover.local[2], 3)


def looked_at(stage, name: str):
    """Take a picture and note which colours a piece of the floor and the table show, as shares of the pixels."""
    picture = yield from stage.picture(name)
    seen = {}
    for what, (x, y, z) in (("table", PLACE), ("floor", (-1.0, 0.5, 0))):
        across, up = (int(v) for v in stage.place_of((x, y, z)))
        red, green, blue = np.moveaxis(picture[up - 20 : up + 20, across - 20 : across + 20, :3], -1, 0)
        seen[what] = {
            "black": float((np.maximum(np.maximum(red, green), blue) < 0.1).mean()),
            "yellow": float(((red > 0.6) & (blue < 0.5)).mean()),
            "green": float(((green > red + 0.2) & (green > blue + 0.2)).mean()),
            "blue": float(((blue > red + 0.2) & (blue > green + 0.1)).mean()),
        }
    stage.facts.setdefault("seen", {})[name] = seen


def shown(obj: bpy.types.Object) -> list[str]:
    """Names of the objects whose eyes are open."""
    return [item.name for item in obj.data.scanpick.objects if item.visible]


def ctrl_click(stage, at: tuple[float, float]):
    """Click with Ctrl held until Blender has worked it off: a button asks for it only then."""
    yield from stage.move(at)
    stage.event("LEFT_CTRL", ctrl=True)
    stage.event("LEFTMOUSE", ctrl=True)
    stage.event("LEFTMOUSE", "RELEASE", ctrl=True)
    yield from stage.pause(0.5)
    stage.event("LEFT_CTRL", "RELEASE")
    yield


def play(stage):
    open_scan(stage, build_room)
    obj = bpy.data.objects["scan"]
    obj.data.scanpick.voxel_size = 0.04
    area, region = stage.view
    with bpy.context.temp_override(window=stage.window, area=area, region=region):
        bpy.ops.scanpick.object_from_group("EXEC_DEFAULT", True, group="ceiling")
        bpy.ops.scanpick.next_object("EXEC_DEFAULT", True)
    view = bpy.context.window_manager.scanpick_view
    yield
    yield from stage.sidebar()
    yield from stage.take_click_tool()
    yield from stage.move(stage.middle())
    yield from stage.tap("NUMPAD_7")
    yield from stage.pause(1.0)
    yield from hovered(stage, "ceiling")
    yield from looked_at(stage, "1_ceiling")
    yield from stage.press("scanpick.object_show", across=(0.62,))
    yield from stage.until(lambda: not obj.data.scanpick.objects[0].visible, "the closed eye")
    yield from hovered(stage, "eye_closed")
    yield from looked_at(stage, "2_eye_closed")
    yield from stage.click(stage.place_of(PLACE))
    yield from stage.until(lambda: bool(members("Object 2")), "the mask")
    stage.facts["heights"] = sorted({round(obj.data.vertices[v].co.z, 3) for v in members("Object 2")})
    yield from stage.move(stage.place_of((-1.5, 1.0, 0)))
    yield from looked_at(stage, "3_clicked")

    eye = yield from stage.button("scanpick.object_show", across=(0.62,))
    yield from ctrl_click(stage, eye)
    yield from stage.until(lambda: not obj.data.scanpick.objects[1].visible, "the ceiling alone")
    stage.facts["alone"] = shown(obj)
    yield from ctrl_click(stage, eye)
    yield from stage.until(lambda: obj.data.scanpick.objects[1].visible, "all objects")
    stage.facts["all"] = shown(obj)
    stage.facts["display"] = [obj.display_type]

    bpy.ops.wm.save_as_mainfile(filepath=str(stage.out / "room.blend"))
    yield
    view.mode = "LEFT"
    yield
    stage.facts["display"].append(obj.display_type)
    yield from hovered(stage, "left_chosen")
    with bpy.context.temp_override(window=stage.window, area=area, region=region):
        bpy.ops.scanpick.next_object("EXEC_DEFAULT", True)
    yield from hovered(stage, "left")
    yield from looked_at(stage, "4_left")
    bpy.ops.wm.save_mainfile()
    yield
    stage.facts["unsaved"] = bpy.data.is_dirty
    yield from stage.tap("TAB")
    yield from stage.until(lambda: obj.mode == "EDIT", "Edit Mode")
    yield from looked_at(stage, "5_edit_mode")
    yield from stage.tap("TAB")
    yield from stage.until(lambda: obj.mode == "OBJECT", "Object Mode")
    view.show = False
    stage.facts["display"].append(obj.display_type)
    yield from looked_at(stage, "6_without_overlay")
    view.show, view.mode = True, "RGB"
    stage.facts["display"].append(obj.display_type)
