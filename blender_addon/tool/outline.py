"""Blender's outline around selected objects: on a cloud it is a scatter of orange dots over the scan's own colours.

While the click tool is active the outline is off. Which screens had it on is kept in the screens themselves, so that
it comes back even where the file was saved and opened in between.
"""

import bpy

MARK = "scanpick_outline"


def hide(workspace: bpy.types.WorkSpace) -> None:
    """Turn the outline off in the 3D viewports of a workspace."""
    for screen in workspace.screens:
        for space in _viewports(screen):
            if space.overlay.show_outline_selected:
                space.overlay.show_outline_selected = False
                screen[MARK] = True


def restore(workspace: bpy.types.WorkSpace) -> None:
    """Turn it on again where `hide` turned it off."""
    for screen in workspace.screens:
        if screen.get(MARK):
            for space in _viewports(screen):
                space.overlay.show_outline_selected = True
            del screen[MARK]


def _viewports(screen: bpy.types.Screen) -> list[bpy.types.SpaceView3D]:
    return [area.spaces.active for area in screen.areas if area.type == "VIEW_3D"]
