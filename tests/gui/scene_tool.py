"""The click tool in Object Mode: hover, add, remove, undo, accept, next object, colours, with mouse and keys only."""

import bpy
from scene_edit_mode import members, open_scan


def play(stage):
    open_scan(stage)
    bpy.data.objects["scan"].data.scanpick.voxel_size = 0.04
    yield
    yield from stage.sidebar()
    yield from stage.click(stage.tool("scanpick.click_tool"))
    yield from stage.until(lambda: stage.active_tool() == "scanpick.click_tool", "the tool")
    yield from stage.move(stage.place_of((0.1, -0.1, 0.8)))
    yield from stage.until(lambda: stage.module("overlay.markers").hover is not None, "the hover ring")
    yield from stage.shot("1_hover")
    yield from stage.click(stage.place_of((0.1, -0.1, 0.8)))
    yield from stage.until(lambda: bool(members("Object 1")), "the first mask")
    first = members("Object 1")
    yield from stage.shot("2_mask")
    yield from stage.click(stage.place_of((0.38, 0.38, 0.8)), ctrl=True)
    yield from stage.until(lambda: members("Object 1") != first, "the corrected mask")
    corrected = members("Object 1")
    stage.facts["removed"] = len(first - corrected)
    yield from stage.shot("3_removed")
    yield from stage.tap("Z", ctrl=True)
    yield from stage.until(lambda: members("Object 1") == first, "undo")
    yield from stage.tap("Z", ctrl=True, shift=True)
    yield from stage.until(lambda: members("Object 1") == corrected, "redo")
    yield from stage.tap("BACK_SPACE")
    yield from stage.until(lambda: members("Object 1") == first, "take back")
    yield from stage.tap("RET")
    yield from stage.until(lambda: bpy.data.objects["scan"].data.scanpick.objects[0].locked, "accept")
    yield from stage.click(stage.place_of((0.1, -0.1, 0.8)))
    yield
    notice = stage.session.notices.get(bpy.data.objects["scan"].data.session_uid)
    stage.facts["locked_notice"] = notice.text if notice else ""
    yield from stage.shot("4_locked")
    yield from stage.click(stage.place_of((-1.0, -1.0, 0.0)))
    yield from stage.until(lambda: bool(members("Object 2")), "the second mask")
    stage.facts["first_kept"] = members("Object 1") == first
    yield from stage.tap("V")
    yield from stage.shot("5_labels")
    yield from stage.tap("V")
    yield from stage.tap("TAB")
    yield from stage.until(lambda: bpy.data.objects["scan"].mode == "EDIT", "Edit Mode")
    yield from stage.shot("6_edit_mode")
    yield from stage.tap("TAB")
    yield from stage.until(lambda: bpy.data.objects["scan"].mode == "OBJECT", "Object Mode")
    stage.facts["objects"] = [o.name for o in bpy.data.objects["scan"].data.scanpick.objects]
