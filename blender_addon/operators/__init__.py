"""All operators of the add-on."""

import bpy

from . import click, export, finish, left, objects, server, start, view_click

CLASSES = (
    *click.CLASSES,
    *view_click.CLASSES,
    *objects.CLASSES,
    *start.CLASSES,
    *finish.CLASSES,
    *left.CLASSES,
    *export.CLASSES,
    *server.CLASSES,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
