"""Operators on the server."""

import bpy

from ..session import handlers
from ..session.session import redraw, session
from .common import fail


class SCANPICK_OT_server_start(bpy.types.Operator):
    """Connect to the inference server; start it on this machine where none answers"""

    bl_idname = "scanpick.server_start"
    bl_label = "Start Server"

    def execute(self, context: bpy.types.Context) -> set[str]:
        sentence = session.connection.start()
        if sentence:
            session.connection.trouble = sentence
            return fail(self, None, sentence)
        handlers.wake()
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_server_stop(bpy.types.Operator):
    """Leave the server, and stop it if this Blender started it; clicks and masks stay in the file"""

    bl_idname = "scanpick.server_stop"
    bl_label = "Stop Server"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return session.connection.client is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        while session.cancel_latest():
            pass
        session.connection.shut_down()
        session.connection.trouble = ""
        redraw()
        return {"FINISHED"}


CLASSES = (SCANPICK_OT_server_start, SCANPICK_OT_server_stop)
