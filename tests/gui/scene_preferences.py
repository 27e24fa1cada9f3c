"""The add-on's preferences: found and opened, a key of the click tool changed and brought back, with the mouse.

Their window is opened by Blender's own operator: menus cannot be aimed at. What a button there changes is told by the
menu of its right mouse button only.
"""

import bpy

WHERE = {"region": "WINDOW", "area": "PREFERENCES"}
HEADER = 26  # pixels to the header of the keys from the property above it


def take_back(stage) -> bpy.types.KeyMapItem:
    items = stage.module("tool.keys").keymap(bpy.context).keymap_items
    return next(item for item in items if item.idname == "scanpick.take_back")


def play(stage):
    yield
    bpy.ops.screen.userpref_show()
    windows = bpy.context.window_manager.windows
    yield from stage.until(lambda: len(windows) == 2, "the preferences' window")
    stage.sit_at(1)
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Scanpick"
    yield from stage.pause(1.5)
    yield from stage.press("preferences.addon_expand", **WHERE, across=(0.035,))
    yield from stage.pause(1.0)
    yield from stage.shot("1_opened")
    study = yield from stage.field(stage.preferences, "study_mode", **WHERE, across=(0.5,))
    yield from stage.click((study[0], study[1] - HEADER))
    yield from stage.pause(1.0)
    for _ in range(12):
        yield from stage.tap("WHEELDOWNMOUSE")
    yield from stage.pause(0.5)
    stage.facts["keys"] = [take_back(stage).type]
    key = yield from stage.field(take_back(stage), "type", **WHERE, across=(0.8,))
    yield from stage.click(key)
    yield from stage.tap("Y")
    yield from stage.until(lambda: take_back(stage).type == "Y", "the new key")
    stage.facts["keys"].append(take_back(stage).type)
    yield from stage.shot("2_changed")
    restore = yield from stage.button("preferences.keyitem_restore", **WHERE, across=(0.97, 0.96, 0.95))
    yield from stage.click((restore[0], key[1]))
    yield from stage.until(lambda: take_back(stage).type != "Y", "the old key")
    stage.facts["keys"].append(take_back(stage).type)
    yield from stage.shot("3_restored")
