"""The Scanpick tab of the 3D viewport's sidebar."""

import textwrap

import bpy

from ..operators.common import NO_SCAN, scan_object, trouble
from ..scan.geometry import SCAN_TYPES, Geometry
from ..session.session import session
from ..wire.client import ConnectionState

STATE_ICONS = {
    ConnectionState.DISCONNECTED: "UNLINKED",
    ConnectionState.CONNECTING: "SORTTIME",
    ConnectionState.CONNECTED: "LINKED",
    ConnectionState.LOST: "ERROR",
    ConnectionState.INCOMPATIBLE: "ERROR",
}
FEW = 1000
"""Vertices of what is hardly a scan, as Blender's default cube."""
NOTICE_ICONS = {"INFO": "INFO", "WARNING": "ERROR", "ERROR": "CANCEL"}


def draw_sentence(layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "NONE") -> None:
    """A sentence broken into as many labels as the sidebar's width asks for."""
    scale = context.preferences.system.ui_scale
    width = max(20, int((context.region.width / scale - 50) / 6.2))
    column = layout.column(align=True)
    column.scale_y = 0.8
    for number, line in enumerate(textwrap.wrap(text, width) or [""]):
        column.label(text=line, icon=icon if number == 0 else "BLANK1" if icon != "NONE" else "NONE")


class Tab:
    """Where the add-on's panels are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Scanpick"
    bl_order = 3  # what is looked at while clicking comes first


class ScanTab(Tab):
    """A panel that is there while a scan can be worked on."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return not trouble(context)


class SCANPICK_PT_server(Tab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_server"
    bl_label = "Server"

    def draw(self, context: bpy.types.Context) -> None:
        connection = session.connection
        draw_sentence(self.layout, context, connection.text, STATE_ICONS[connection.state])
        row = self.layout.row(align=True)
        if connection.state is ConnectionState.CONNECTED:
            stop = "Stop Server" if connection.process.started_here else "Disconnect"
            row.operator("scanpick.server_stop", text=stop, icon="CANCEL")
        else:
            remedy = connection.remedy if connection.trouble else "scanpick.server_start"
            row.operator(remedy, icon="PLAY" if remedy == "scanpick.server_start" else "MODIFIER")
            if connection.client is not None:
                row.operator("scanpick.server_stop", text="", icon="CANCEL")


class SCANPICK_UL_objects(bpy.types.UIList):
    """Rows: colour, name, clicks, vertices, eye, lock."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index=0, flt_flag=0) -> None:
        row = layout.row(align=True)
        swatch = row.row()
        swatch.ui_units_x = 0.8
        swatch.prop(item, "color", text="")
        row.prop(item, "name", text="", emboss=False)
        counts = row.row()
        counts.alignment = "RIGHT"
        counts.active = False
        counts.label(text=f"{item.clicks} · {item.vertices:,}")
        eye = "HIDE_OFF" if item.visible else "HIDE_ON"
        row.operator("scanpick.object_show", text="", emboss=False, icon=eye).number = item.number
        row.prop(item, "locked", text="", emboss=False, icon="LOCKED" if item.locked else "UNLOCKED")


class SCANPICK_PT_objects(Tab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_objects"
    bl_label = "Objects"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        if scan_object(context) is None:
            self._draw_empty(context)
            return
        reason = trouble(context)
        if reason:
            draw_sentence(layout, context, reason + ".", "INFO")
            return
        obj = scan_object(context)
        scan = obj.data.scanpick
        if not scan.objects:
            draw_sentence(
                layout, context,
                "Click on a thing with the Scanpick tool, or select a few of its vertices in Edit Mode and press Add: "
                "it becomes an object.",
                "INFO",
            )  # fmt: skip
            if Geometry(obj).count < FEW:
                self._draw_openers(layout)
        row = layout.row()
        row.template_list("SCANPICK_UL_objects", "", scan, "objects", scan, "active", rows=4)
        column = row.column(align=True)
        column.operator("scanpick.object_new", text="", icon="ADD")
        column.operator("scanpick.object_delete", text="", icon="REMOVE")
        column.separator()
        column.operator("scanpick.object_move", text="", icon="TRIA_UP").direction = "UP"
        column.operator("scanpick.object_move", text="", icon="TRIA_DOWN").direction = "DOWN"
        row = layout.row(align=True)
        row.operator("scanpick.object_duplicate", text="Duplicate", icon="DUPLICATE")
        row.operator("scanpick.object_merge", text="Merge Down", icon="AUTOMERGE_ON")
        layout.operator("scanpick.object_from_group", text="From Vertex Group…", icon="GROUP_VERTEX")
        layout.prop(scan, "overlap")

    def _draw_empty(self, context: bpy.types.Context) -> None:
        """What to do first, where there is no scan or none is chosen."""
        layout = self.layout
        if any(obj.type in SCAN_TYPES for obj in context.scene.objects):
            draw_sentence(layout, context, "Select a scan: a mesh or a point cloud. Or open another one:", "INFO")
        else:
            text = "Open a scan to click objects out of it. PLY, OBJ and glTF are in File > Import."
            draw_sentence(layout, context, text, "INFO")
        self._draw_openers(layout)
        notice = session.notice_of(NO_SCAN)
        if notice is not None:
            draw_sentence(layout, context, notice.text, NOTICE_ICONS[notice.level])

    @staticmethod
    def _draw_openers(layout: bpy.types.UILayout) -> None:
        column = layout.column(align=True)
        column.scale_y = 1.2
        column.operator("scanpick.open_sample", icon="HOME")
        column.operator("scanpick.import_scan", text="Import LAS, E57, PCD, XYZ…", icon="IMPORT")


class SCANPICK_PT_click(ScanTab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_click"
    bl_label = "Click"
    bl_order = 1

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        obj = scan_object(context)
        row = layout.row(align=True)
        row.scale_y = 1.3
        row.operator("scanpick.click_selection", text="Add", icon="ADD").positive = True
        row.operator("scanpick.click_selection", text="Remove", icon="REMOVE").positive = False
        layout.operator("scanpick.take_back", icon="LOOP_BACK")
        waiting = session.pending.of_data(obj.data.session_uid)
        if waiting:
            row = layout.row(align=True)
            row.label(text=self._waiting_text(waiting), icon="SORTTIME")
            row.operator("scanpick.cancel_pending", text="", icon="X")
            if waits := session.upload_waits(waiting[0]):
                draw_sentence(layout, context, waits, "INFO")
        notice = session.notice_of(obj.data.session_uid)
        connection = session.connection
        if connection.trouble and (waiting or notice is None):
            draw_sentence(layout, context, connection.trouble, NOTICE_ICONS["ERROR"])
            layout.operator(connection.remedy, icon="MODIFIER")
        elif connection.process.installing or (waiting and connection.state is ConnectionState.LOST):
            draw_sentence(layout, context, connection.text, NOTICE_ICONS["INFO"])
        if notice is not None and not (waiting and notice.level == "INFO"):
            draw_sentence(layout, context, notice.text, NOTICE_ICONS[notice.level])
            if notice.operator:
                layout.operator(notice.operator, icon="MODIFIER")
        elif not waiting:
            draw_sentence(layout, context, "")  # what is below must not move away from under the mouse

    @staticmethod
    def _waiting_text(waiting: list) -> str:
        client = session.connection.client
        if session.connection.state is ConnectionState.LOST:
            return "1 click waits for the server" if len(waiting) == 1 else f"{len(waiting)} clicks wait for the server"
        if client is not None and session.connection.state is ConnectionState.CONNECTED:
            share = client.upload_progress(waiting[0].scene)
            if share < 1:
                return f"Sending the scan: {share:.0%}"
        return "1 mask on its way" if len(waiting) == 1 else f"{len(waiting)} masks on their way"


class SCANPICK_PT_scan(ScanTab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_scan"
    bl_label = "Scan"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        obj = scan_object(context)
        layout.use_property_split = True
        layout.prop(obj.data.scanpick, "voxel_size")
        layout.prop(obj.data.scanpick, "adapt")
        scan = session.known_scan(obj)
        if scan is None:
            draw_sentence(layout, context, "The voxel size is proposed with the first click.", "INFO")
            return
        draw_sentence(layout, context, f"Colours: {scan.color_source}", "COLOR")
        layout.label(text=f"{scan.count:,} vertices, {len(scan.points):,} points", icon="POINTCLOUD_DATA")


class SCANPICK_PT_view(Tab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_view"
    bl_label = "Overlay"
    bl_options = {"DEFAULT_CLOSED"}

    def draw_header(self, context: bpy.types.Context) -> None:
        self.layout.prop(context.window_manager.scanpick_view, "show", text="")

    def draw(self, context: bpy.types.Context) -> None:
        layout, view = self.layout, context.window_manager.scanpick_view
        layout.active = view.show
        layout.row().prop(view, "mode", expand=True)
        layout.use_property_split = True
        layout.prop(view, "point_size")
        layout.prop(view, "opacity", slider=True)
        row = layout.row()
        row.prop(view, "legend")
        row.prop(view, "voxel")


class SCANPICK_PT_export(ScanTab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_export"
    bl_label = "Export and Labels"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        column = self.layout.column(align=True)
        column.operator("scanpick.separate", icon="MOD_EXPLODE")
        column.operator("scanpick.export_objects", text="Export Objects…", icon="EXPORT")
        column.operator("scanpick.export_labels", text="Export Labels…", icon="EXPORT")
        column = self.layout.column(align=True)
        column.operator("scanpick.import_labels", text="Import Labels…", icon="IMPORT")
        column.operator("scanpick.objects_from_labels", text="Objects From Labels…", icon="OUTLINER_OB_POINTCLOUD")


CLASSES = (
    SCANPICK_UL_objects,
    SCANPICK_PT_click,
    SCANPICK_PT_objects,
    SCANPICK_PT_view,
    SCANPICK_PT_scan,
    SCANPICK_PT_export,
    SCANPICK_PT_server,
)
