"""Add-on preferences: where the server is, its keys, and study mode."""

from collections.abc import Callable

import bpy
from bpy.props import BoolProperty, StringProperty

from .tool import keys
from .wire.protocol import DEFAULT_ADDRESS

on_server_changed: Callable[[], None] | None = None
"""Called when another server is to be asked."""


def _server_changed(preferences: "ScanpickPreferences", context: bpy.types.Context) -> None:
    if on_server_changed is not None:
        on_server_changed()


class ScanpickPreferences(bpy.types.AddonPreferences):
    """Shown under Edit > Preferences > Add-ons > Scanpick."""

    bl_idname = __package__

    address: StringProperty(
        name="Server",
        description="Address of the inference server, like tcp://127.0.0.1:47600. "
        "Another machine needs its key below, and online access to be allowed in Blender's System preferences",
        default=DEFAULT_ADDRESS,
        update=_server_changed,
    )
    start_server: BoolProperty(
        name="Start the Server When Needed",
        description="Start the server on this machine with the first click, and stop it with Blender",
        default=True,
    )
    server_key: StringProperty(
        name="Server Key",
        description="Public key of the server, 40 characters; only for a server on another machine",
        update=_server_changed,
    )
    public_key: StringProperty(
        name="Own Public Key", description="Made by the server's “keys” command", update=_server_changed
    )
    secret_key: StringProperty(
        name="Own Secret Key",
        description="Made by the server's “keys” command; kept in Blender's preferences",
        subtype="PASSWORD",
        update=_server_changed,
    )

    study_mode: BoolProperty(
        name="Study Mode",
        description="Show the panel that records user studies on labelled scans: which objects were clicked out with "
        "how many clicks, and how long it took",
    )

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "address")
        layout.prop(self, "start_server")
        column = layout.column()
        column.label(text="For a server on another machine:")
        column.prop(self, "server_key")
        column.prop(self, "public_key")
        column.prop(self, "secret_key")
        layout.prop(self, "study_mode")
        header, keys_shown = layout.panel("scanpick_keys", default_closed=True)
        header.label(text="Keys of the Click Tool")
        if keys_shown is not None:
            keys.draw_preferences(keys_shown, context)


def get() -> ScanpickPreferences:
    """The add-on's preferences."""
    return bpy.context.preferences.addons[__package__].preferences


def register() -> None:
    bpy.utils.register_class(ScanpickPreferences)


def unregister() -> None:
    bpy.utils.unregister_class(ScanpickPreferences)
