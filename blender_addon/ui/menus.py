"""Entries in Blender's own menus, where search (F3) finds them: Object and Mesh > Scanpick, File > Export."""

import bpy


class SCANPICK_MT_object(bpy.types.Menu):
    bl_idname = "SCANPICK_MT_object"
    bl_label = "Scanpick"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("scanpick.object_new", icon="ADD")
        layout.operator("scanpick.object_duplicate", icon="DUPLICATE")
        layout.operator("scanpick.object_merge", icon="AUTOMERGE_ON")
        layout.operator("scanpick.object_delete", icon="REMOVE")
        layout.operator("scanpick.object_from_group", text="From Vertex Group…", icon="GROUP_VERTEX")
        layout.operator("scanpick.take_back", icon="LOOP_BACK")
        layout.operator("scanpick.predict_again", icon="FILE_REFRESH")
        layout.separator()
        for name in ("grow_mask", "shrink_mask", "smooth_mask", "fill_holes", "keep_connected"):
            layout.operator(f"scanpick.{name}")
        for name in ("add_by_hand", "remove_by_hand"):
            layout.operator(f"scanpick.{name}")
        layout.operator("scanpick.next_left", icon="VIEWZOOM")
        layout.separator()
        layout.operator("scanpick.separate", icon="MOD_EXPLODE")
        layout.operator("scanpick.export_objects", text="Export Objects…", icon="EXPORT")
        layout.operator("scanpick.export_labels", text="Export Labels…", icon="EXPORT")
        layout.operator("scanpick.import_labels", text="Import Labels…", icon="IMPORT")
        layout.operator("scanpick.objects_from_labels", text="Objects From Labels…", icon="OUTLINER_OB_POINTCLOUD")


def _object_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.separator()
    menu.layout.menu(SCANPICK_MT_object.bl_idname)


def _export_menu(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    menu.layout.operator("scanpick.export_objects", text="Scanpick Objects")


CLASSES = (SCANPICK_MT_object,)
_ENTRIES = (
    ("VIEW3D_MT_object", _object_menu),
    ("VIEW3D_MT_edit_mesh", _object_menu),
    ("TOPBAR_MT_file_export", _export_menu),
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    for name, draw in _ENTRIES:
        getattr(bpy.types, name).append(draw)


def unregister() -> None:
    for name, draw in _ENTRIES:
        getattr(bpy.types, name).remove(draw)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
