"""Panels and lists of the add-on."""

import bpy

from . import panel

CLASSES = panel.CLASSES


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
