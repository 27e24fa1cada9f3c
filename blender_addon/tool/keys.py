"""The click tool's keys: what is set, what the artist made of it, and how it is told.

Each one can be changed, in the add-on's preferences or in Blender's own under Keymap.
"""

from collections.abc import Iterator

import bpy

KEYMAP = "3D View Tool: Object, Scanpick"

KEYS = (
    ("scanpick.hover", {"type": "MOUSEMOVE", "value": "ANY", "any": True}, None),
    ("scanpick.click", {"type": "LEFTMOUSE", "value": "PRESS"}, {"properties": [("positive", True)]}),
    ("scanpick.click", {"type": "LEFTMOUSE", "value": "PRESS", "ctrl": True}, {"properties": [("positive", False)]}),
    ("scanpick.choose", {"type": "LEFTMOUSE", "value": "PRESS", "shift": True}, None),
    ("scanpick.next_object", {"type": "RET", "value": "PRESS"}, {"properties": [("accept", True)]}),
    ("scanpick.next_object", {"type": "NUMPAD_ENTER", "value": "PRESS"}, {"properties": [("accept", True)]}),
    ("scanpick.next_object", {"type": "J", "value": "PRESS"}, {"properties": [("accept", False)]}),
    ("scanpick.next_left", {"type": "J", "value": "PRESS", "shift": True}, None),
    ("scanpick.take_back", {"type": "U", "value": "PRESS"}, None),
    ("scanpick.toggle_colors", {"type": "L", "value": "PRESS"}, None),
)
"""J, U and L do nothing in Object Mode of Blender's own keymap and of the industry-compatible one. Return does nothing
in Blender's own; in the other it renames the object, as F2 and a double click in the outliner do. Alt stays free for
Emulate 3 Button Mouse, H for hiding, the digits for collections."""

_TOLD = (
    ("scanpick.click", ("positive", True), "Add"),
    ("scanpick.click", ("positive", False), "Remove"),
    ("scanpick.choose", None, "Choose Object"),
    ("scanpick.next_object", ("accept", True), "Accept"),
    ("scanpick.next_object", ("accept", False), "Next Object"),
    ("scanpick.take_back", None, "Take Back"),
    ("scanpick.toggle_colors", None, "Colours"),
    ("scanpick.next_left", None, "What Is Left"),
)
_ICONS = {
    "LEFTMOUSE": "MOUSE_LMB", "MIDDLEMOUSE": "MOUSE_MMB", "RIGHTMOUSE": "MOUSE_RMB", "RET": "EVENT_RETURN",
    "BACK_SPACE": "EVENT_BACKSPACE", "SPACE": "EVENT_SPACEKEY", "TAB": "EVENT_TAB", "ESC": "EVENT_ESC",
}  # fmt: skip
_MODIFIERS = (("ctrl_ui", "EVENT_CTRL"), ("shift_ui", "EVENT_SHIFT"), ("alt_ui", "EVENT_ALT"), ("oskey_ui", "EVENT_OS"))


def keymap(context: bpy.types.Context) -> bpy.types.KeyMap | None:
    """The tool's keymap as the artist has it; without a window there is only the one that was set."""
    configurations = context.window_manager.keyconfigs
    for configuration in (configurations.user, configurations.addon):
        found = configuration.keymaps.get(KEYMAP) if configuration is not None else None
        if found is not None and len(found.keymap_items):
            return found
    return None


def told(context: bpy.types.Context) -> Iterator[tuple[list[str], str, str]]:
    """What the status bar says: icons of the keys, their names where there is no icon, and what they do."""
    found = keymap(context)
    for idname, wanted, text in _TOLD if found is not None else ():
        ways = [_shown(item) for item in found.keymap_items if item.active and _is(item, idname, wanted)]
        if ways:
            yield *max(ways, key=lambda way: bool(way[0])), text  # one with a picture, where there are several


def _is(item: bpy.types.KeyMapItem, idname: str, wanted: tuple[str, bool] | None) -> bool:
    return item.idname == idname and (wanted is None or getattr(item.properties, wanted[0]) is wanted[1])


def _shown(item: bpy.types.KeyMapItem) -> tuple[list[str], str]:
    icon = _ICONS.get(item.type, f"EVENT_{item.type}")
    known = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys()
    if icon not in known:
        return [], item.to_string()
    return [name for field, name in _MODIFIERS if getattr(item, field)] + [icon], ""


def draw_status(layout: bpy.types.UILayout) -> None:
    row = layout.row(align=False)
    for icons, name, text in told(bpy.context):
        part = row.row(align=True)
        for icon in icons[:-1]:
            part.label(text="", icon=icon)
        part.label(text=f"{name} {text}".strip(), icon=icons[-1] if icons else "NONE")
        part.separator(factor=1.5)
    if bpy.context.preferences.inputs.use_mouse_emulate_3_button:
        row.label(text="Alt + Drag: Orbit")


def draw_preferences(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """The keys, to be changed, in the order and words of the status bar."""
    found = keymap(context)
    column = layout.column()
    column.context_pointer_set("keymap", found)  # the button that restores a key looks there
    for idname, wanted, text in _TOLD if found is not None else ():
        for item in found.keymap_items:
            if _is(item, idname, wanted):
                _draw_key(column.row(), item, text)


def _draw_key(row: bpy.types.UILayout, item: bpy.types.KeyMapItem, text: str) -> None:
    row.prop(item, "active", text="")
    row.label(text=text)
    row.prop(item, "map_type", text="")
    row.prop(item, "type", text="", full_event=True)
    restore = row.row()
    restore.enabled = item.is_user_modified
    restore.operator("preferences.keyitem_restore", text="", icon="BACK").item_id = item.id
