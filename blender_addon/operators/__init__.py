"""All operators of the add-on."""

import bpy

from . import click, export, finish, labels, left, objects, scans, server, start, study, undo_step, view_click

CLASSES = (
    *click.CLASSES,
    *view_click.CLASSES,
    *objects.CLASSES,
    *start.CLASSES,
    *finish.CLASSES,
    *left.CLASSES,
    *export.CLASSES,
    *labels.CLASSES,
    *scans.CLASSES,
    *server.CLASSES,
    *study.CLASSES,
    *undo_step.CLASSES,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(scans.draw_import)


def unregister() -> None:
    bpy.types.TOPBAR_MT_file_import.remove(scans.draw_import)
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
