"""The click tool in Object Mode: hover, add, remove, undo, accept, next object, colours, with mouse and keys only."""

import bpy
from scene_edit_mode import members, open_for_clicks


def notice(stage) -> str:
    """What the panel says."""
    found = stage.session.notices.get(bpy.data.objects["scan"].data.session_uid)
    return found.text if found else ""


def looking(stage) -> tuple:
    """Where the view looks, and from how far."""
    view = stage.view[0].spaces.active.region_3d
    return *view.view_location, view.view_distance


def play(stage):
    yield from open_for_clicks(stage, voxel_size=0.04)
    yield from stage.move(stage.place_of((0.1, -0.1, 0.8)))
    yield from stage.until(lambda: stage.module("tool.hover").current is not None, "the hover ring")
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
    yield from stage.tap("U")
    yield from stage.until(lambda: members("Object 1") == first, "take back")
    yield from stage.tap("RET")
    yield from stage.until(lambda: bpy.data.objects["scan"].data.scanpick.objects[0].locked, "accept")
    yield from stage.click(stage.place_of((0.1, -0.1, 0.8)))
    yield
    stage.facts["locked_notice"] = notice(stage)
    yield from stage.shot("4_locked")
    yield from stage.click(stage.place_of((-1.0, -1.0, 0.0)))
    yield from stage.until(lambda: bool(members("Object 2")), "the second mask")
    stage.facts["first_kept"] = members("Object 1") == first
    stage.facts["last_operator"] = bpy.context.window_manager.operators[-1].bl_idname
    yield from stage.tap("L")
    yield from stage.shot("5_labels")
    yield from stage.tap("L")
    before = looking(stage)
    yield from stage.tap("J", shift=True)
    yield from stage.until(lambda: "Piece 1 of" in notice(stage), "what is left")
    stage.facts["view_moved"] = looking(stage) != before
    stage.facts["colours"] = bpy.context.window_manager.scanpick_view.mode
    yield from stage.shot("6_left")
    yield from stage.tap("L")
    yield from stage.tap("TAB")
    yield from stage.until(lambda: bpy.data.objects["scan"].mode == "EDIT", "Edit Mode")
    yield from stage.shot("7_edit_mode")
    yield from stage.tap("TAB")
    yield from stage.until(lambda: bpy.data.objects["scan"].mode == "OBJECT", "Object Mode")
    stage.facts["objects"] = [o.name for o in bpy.data.objects["scan"].data.scanpick.objects]
