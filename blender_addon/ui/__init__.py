"""Panels, lists and menus of the add-on."""

import bpy

from . import finish, menus, panel, study

CLASSES = (*panel.CLASSES, *finish.CLASSES, *study.CLASSES)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    menus.register()


def unregister() -> None:
    menus.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
