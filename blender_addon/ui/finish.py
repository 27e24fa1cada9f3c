"""The panel for finishing a mask and finding what is left."""

import bpy

from ..operators.common import scan_object
from ..session import threshold
from .panel import ScanTab, draw_sentence


class SCANPICK_PT_finish(ScanTab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_finish"
    bl_label = "Finish"
    bl_order = 2

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        obj = scan_object(context)
        item = obj.data.scanpick.active_item()
        if item is not None:
            self._draw_threshold(context, obj, item)
        column = layout.column(align=True)
        row = column.row(align=True)
        row.operator("scanpick.grow_mask", icon="ADD")
        row.operator("scanpick.shrink_mask", icon="REMOVE")
        column.operator("scanpick.smooth_mask", icon="MOD_SMOOTH")
        column.operator("scanpick.fill_holes", icon="SHADING_SOLID")
        column.operator("scanpick.keep_connected", icon="LINKED")
        if obj.mode == "EDIT":
            row = layout.row(align=True)
            row.operator("scanpick.add_by_hand", text="Add by Hand", icon="SELECT_EXTEND")
            row.operator("scanpick.remove_by_hand", text="Remove by Hand", icon="SELECT_SUBTRACT")
        layout.operator("scanpick.next_left", icon="VIEWZOOM")

    def _draw_threshold(self, context: bpy.types.Context, obj: bpy.types.Object, item: bpy.types.PropertyGroup) -> None:
        live = threshold.is_live(obj)
        row = self.layout.row(align=True)
        slider = row.row(align=True)
        slider.enabled = live and not item.locked
        slider.prop(item, "threshold", slider=True)
        row.operator("scanpick.predict_again", text="", icon="FILE_REFRESH")
        if item.clicks and not live and not item.locked:
            draw_sentence(self.layout, context, "Predict again to move the threshold.", "INFO")


CLASSES = (SCANPICK_PT_finish,)
