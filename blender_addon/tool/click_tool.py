"""The tool in the viewport's toolbar, and its keys in the status bar while it is active."""

from types import SimpleNamespace
from typing import Any

import bpy
from bl_ui.space_statusbar import STATUSBAR_HT_header

from ..scan.geometry import SCAN_TYPES
from ..session.session import redraw
from . import hover, keys

IDNAME = "scanpick.click_tool"

_keymap_items: list[tuple[bpy.types.KeyMap, bpy.types.KeyMapItem]] = []
_draw_before = STATUSBAR_HT_header.draw


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


class _KeysLayout:
    """The status bar's layout, with the tool's keys where Blender tells its own."""

    def __init__(self, layout: bpy.types.UILayout):
        self._layout = layout

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layout, name)

    def template_input_status(self) -> None:
        keys.draw_status(self._layout)


def _draw_status(header: bpy.types.Header, context: bpy.types.Context) -> None:
    """Blender has one status bar for all workspaces and modes, and a running operator tells its own keys there."""
    window = context.window
    if not window.modal_operators and is_active(context, window.workspace):
        header = SimpleNamespace(layout=_KeysLayout(header.layout))
    # Blender keeps its own under this name while another is set
    getattr(STATUSBAR_HT_header, "_draw_orig", _draw_before)(header, context)


def update_status() -> None:
    """Tell the keys where the tool is active; called from the timer, since others take over the status bar as well."""
    windows = bpy.context.window_manager.windows
    if any(window.modal_operators for window in windows):
        return  # what they tell would be wiped out
    told = False
    for window in windows:
        with bpy.context.temp_override(window=window):
            if is_active(bpy.context, window.workspace):
                told = True
                if STATUSBAR_HT_header.draw is not _draw_status:
                    window.workspace.status_text_set(_draw_status)
            elif hover.current is not None and hover.current.region in _regions(window):
                hover.current = None
                redraw()
    if not told:
        _tell_no_more()


def _regions(window: bpy.types.Window) -> set[int]:
    return {region.as_pointer() for area in window.screen.areas for region in area.regions}


def _tell_no_more() -> None:
    for window in bpy.context.window_manager.windows if STATUSBAR_HT_header.draw is _draw_status else ():
        with bpy.context.temp_override(window=window):  # its status bar is drawn anew
            window.workspace.status_text_set(None)


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
    _tell_no_more()
    bpy.utils.unregister_tool(SCANPICK_TOOL_click)
