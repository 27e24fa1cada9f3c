"""The tool in the viewport's toolbar, and when the status bar tells its keys."""

import bpy

from ..scan.geometry import SCAN_TYPES
from ..session.session import redraw
from . import hover, keys

IDNAME = "scanpick.click_tool"

_keymap_items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []
_told: set[str] = set()


class SCANPICK_TOOL_click(bpy.types.WorkSpaceTool):
    """Toolbar entry."""

    bl_space_type = "VIEW_3D"
    bl_context_mode = "OBJECT"
    bl_idname = IDNAME
    bl_label = "Scanpick"
    bl_description = (
        "Click objects out of a scan.\nClick adds, Ctrl-click removes, Enter accepts and goes to the next object"
    )
    bl_icon = "ops.generic.select_circle"
    bl_widget = None
    bl_keymap = keys.KEYS

    @staticmethod
    def draw_settings(context: bpy.types.Context, layout: bpy.types.UILayout, tool: bpy.types.WorkSpaceTool) -> None:
        obj = context.object
        if obj is None or obj.type not in SCAN_TYPES:
            layout.label(text="Select a scan first", icon="INFO")
            return
        item = obj.data.scanpick.active_item()
        layout.label(text=item.name if item is not None else "New object")
        layout.operator("scanpick.next_object", text="Accept", icon="CHECKMARK").accept = True
        layout.prop(context.window_manager.scanpick_view, "mode", expand=True)


def is_active(context: bpy.types.Context, workspace: bpy.types.WorkSpace) -> bool:
    tool = workspace.tools.from_space_view3d_mode("OBJECT", create=False)
    return tool is not None and tool.idname == IDNAME and context.mode == "OBJECT"


def status_was_used(workspace: bpy.types.WorkSpace) -> None:
    """Something else has written into the status bar and is done: the keys are told again."""
    _told.discard(workspace.name)


def update_status() -> None:
    """Tell the keys in the status bar of every workspace where the tool is active; called from the timer."""
    for window in bpy.context.window_manager.windows:
        workspace = window.workspace
        with bpy.context.temp_override(window=window):
            active = is_active(bpy.context, workspace)
        if active and workspace.name not in _told:
            workspace.status_text_set(keys.draw_status)
            _told.add(workspace.name)
        elif not active and workspace.name in _told:
            workspace.status_text_set(None)
            _told.discard(workspace.name)
            if hover.current is not None:
                hover.current = None
                redraw()


def register() -> None:
    bpy.utils.register_tool(SCANPICK_TOOL_click, after={"builtin.cursor"}, separator=True)
    configuration = bpy.context.window_manager.keyconfigs.addon
    if configuration is not None:
        keymap = configuration.keymaps.new(name="3D View", space_type="VIEW_3D")
        # an undo while a mask is on its way takes back that click: it is the newest thing the artist did
        item = keymap.keymap_items.new("scanpick.cancel_pending", "Z", "PRESS", ctrl=True)
        _keymap_items.append((keymap, item))


def unregister() -> None:
    for keymap, item in _keymap_items:
        keymap.keymap_items.remove(item)
    _keymap_items.clear()
    for workspace in bpy.data.workspaces:
        if workspace.name in _told:
            workspace.status_text_set(None)
    _told.clear()
    bpy.utils.unregister_tool(SCANPICK_TOOL_click)
