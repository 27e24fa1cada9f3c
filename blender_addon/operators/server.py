"""Operators on the server."""

import bpy

from .. import handlers, preferences
from ..server.connection import free_address
from ..session.session import redraw, session
from .common import fail


def _begun(operator: bpy.types.Operator, failed: str | None) -> set[str]:
    """After starting a server was tried: wait for it, or say why there is none."""
    if failed:
        session.connection.trouble = failed
        return fail(operator, None, failed)
    session.forget_notices({"scanpick.server_start", "scanpick.install_again", "scanpick.show_preferences"})
    handlers.wake()
    redraw()
    return {"FINISHED"}


class SCANPICK_OT_server_start(bpy.types.Operator):
    """Connect to the inference server; start it on this machine where none answers"""

    bl_idname = "scanpick.server_start"
    bl_label = "Start Server"

    def execute(self, context: bpy.types.Context) -> set[str]:
        return _begun(self, session.connection.start())


class SCANPICK_OT_install_again(bpy.types.Operator):
    """Set up again what the inference server needs, then start it; it takes minutes, in which Blender can be used"""

    bl_idname = "scanpick.install_again"
    bl_label = "Install Again"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.connection.installable

    def execute(self, context: bpy.types.Context) -> set[str]:
        return _begun(self, session.connection.install())


class SCANPICK_OT_server_stop(bpy.types.Operator):
    """Leave the server, and stop it if this Blender started it; clicks and masks stay in the file"""

    bl_idname = "scanpick.server_stop"
    bl_label = "Stop Server"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.connection.client is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.cancel_all()
        session.connection.shut_down()
        session.connection.trouble = ""
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_another_port(bpy.types.Operator):
    """Write a free port into the server's address in the add-on's preferences, and start the server there"""

    bl_idname = "scanpick.another_port"
    bl_label = "Choose Another Port"

    def execute(self, context: bpy.types.Context) -> set[str]:
        preferences.get().address = free_address()
        return bpy.ops.scanpick.server_start()


class SCANPICK_OT_show_preferences(bpy.types.Operator):
    """Show the add-on's preferences, with the server's address"""

    bl_idname = "scanpick.show_preferences"
    bl_label = "Add-on Preferences"

    def execute(self, context: bpy.types.Context) -> set[str]:
        return bpy.ops.preferences.addon_show(module=preferences.ScanpickPreferences.bl_idname)


CLASSES = (
    SCANPICK_OT_server_start,
    SCANPICK_OT_install_again,
    SCANPICK_OT_server_stop,
    SCANPICK_OT_another_port,
    SCANPICK_OT_show_preferences,
)
