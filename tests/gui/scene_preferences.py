"""The add-on's preferences: found and opened, a key of the click tool changed and brought back, with the mouse.

Their window is opened by Blender's own operator: menus cannot be aimed at. Nor can these buttons, which do not tell
what they do, so they are clicked where they are.
"""

import bpy

FROM_ARROW = (90, -404)  # pixels to the header of the keys from the arrow that opens the add-on
TAKE_BACK = 74  # pixels of that row above the window's lower edge, scrolled down to the end
KEY, RESTORE = 717, 846  # pixels of these columns from the window's left edge


def take_back_key(stage) -> str:
    items = stage.module("tool.keys").keymap(bpy.context).keymap_items
    return next(item.type for item in items if item.idname == "scanpick.take_back")


def play(stage):
    yield
    bpy.ops.screen.userpref_show()
    windows = bpy.context.window_manager.windows
    yield from stage.until(lambda: len(windows) == 2, "the preferences' window")
    stage.sit_at(1)
    bpy.context.preferences.active_section = "ADDONS"
    bpy.context.window_manager.addon_search = "Scanpick"
    yield from stage.pause(1.5)
    arrow = yield from stage.button("preferences.addon_expand", "WINDOW", "PREFERENCES", across=(0.035,))
    yield from stage.click(arrow)
    yield from stage.pause(1.0)
    yield from stage.shot("1_opened")
    yield from stage.click((arrow[0] + FROM_ARROW[0], arrow[1] + FROM_ARROW[1]))
    yield from stage.pause(1.0)
    for _ in range(12):
        yield from stage.tap("WHEELDOWNMOUSE")
    yield from stage.pause(0.5)
    stage.facts["keys"] = [take_back_key(stage)]
    yield from stage.click((KEY, TAKE_BACK))
    yield from stage.tap("Y")
    yield from stage.until(lambda: take_back_key(stage) == "Y", "the new key")
    stage.facts["keys"].append(take_back_key(stage))
    yield from stage.shot("2_changed")
    yield from stage.click((RESTORE, TAKE_BACK))
    yield from stage.until(lambda: take_back_key(stage) != "Y", "the old key")
    stage.facts["keys"].append(take_back_key(stage))
    yield from stage.shot("3_restored")
