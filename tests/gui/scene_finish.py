"""The Finish panel: threshold slider, grow, shrink, fill holes, keep clicked parts, and the jump to what is left."""

import bpy
from scene_edit_mode import members, open_for_clicks
from scene_tool import looking, notice

TOP = (0.1, -0.1, 0.8)  # on the box's lid


def item() -> bpy.types.PropertyGroup:
    return bpy.data.objects["scan"].data.scanpick.active_item()


def finished(stage, operator: str):
    """Press a button of the panel; the mask afterwards is returned by `yield from`."""
    before = notice(stage)
    yield from stage.press(operator)
    yield from stage.until(lambda: notice(stage) != before, operator)
    return members("Object 1")


def play(stage):
    yield from open_for_clicks(stage, voxel_size=0.03)
    yield from stage.click(stage.place_of(TOP))
    yield from stage.until(lambda: bool(members("Object 1")), "the mask")
    clicked = members("Object 1")
    yield from stage.shot("1_clicked")

    slider = yield from stage.button(".threshold")
    yield from stage.drag(slider, (slider[0] + 40, slider[1]))
    yield from stage.until(lambda: item().threshold > 0.55, "the slider")
    stricter = members("Object 1")
    stage.facts["threshold_takes_away"] = len(clicked - stricter) > 0 and stricter < clicked
    yield from stage.shot("2_threshold")
    yield from stage.tap("Z", ctrl=True)
    yield from stage.until(lambda: members("Object 1") == clicked, "undo of the slider")
    stage.facts["threshold_undone"] = round(item().threshold, 2)

    grown = yield from finished(stage, "scanpick.grow_mask")
    stage.facts["grown"] = grown > clicked
    shrunk = yield from finished(stage, "scanpick.shrink_mask")
    stage.facts["shrunk"] = shrunk < grown
    yield from stage.shot("3_grown_and_shrunk")

    group = bpy.data.objects["scan"].vertex_groups["Object 1"]
    inner = sorted(shrunk)[len(shrunk) // 2 : len(shrunk) // 2 + 2]
    group.remove(inner)  # a hole, and a piece far away: as if painted
    group.add([0, 1, 2], 1.0, "REPLACE")
    bpy.context.view_layer.update()
    filled = yield from finished(stage, "scanpick.fill_holes")
    stage.facts["filled"] = set(inner) <= filled
    connected = yield from finished(stage, "scanpick.keep_connected")
    stage.facts["kept_connected"] = not {0, 1, 2} & connected and bool(connected)
    yield from stage.shot("4_filled_and_connected")
    yield from stage.tap("Z", ctrl=True)
    yield from stage.until(lambda: members("Object 1") == filled, "undo")

    before = looking(stage)
    yield from stage.press("scanpick.next_left")
    yield from stage.until(lambda: "Piece 1 of" in notice(stage), "what is left")
    stage.facts["view_moved"] = looking(stage) != before
    yield from stage.shot("5_left")
