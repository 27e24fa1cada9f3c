"""How the overlay looks: kept with the window, not with the file, and without undo steps."""

from collections.abc import Callable

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, PointerProperty

from ..session.session import redraw

listeners: list[Callable[[], None]] = []
"""Called when something else may be shown of scans."""


def _changed(settings: "ScanpickView", context: bpy.types.Context) -> None:
    redraw()


def _shown_changed(settings: "ScanpickView", context: bpy.types.Context) -> None:
    for listener in listeners:
        listener()
    redraw()


class ScanpickView(bpy.types.PropertyGroup):
    """Overlay settings of this Blender."""

    show: BoolProperty(name="Show", description="Draw points, masks and clicks", default=True, update=_shown_changed)
    mode: EnumProperty(
        name="Colours",
        description="What the points are coloured by",
        items=[
            ("RGB", "Scan", "The scan's own colours, and the mask of the chosen object"),
            ("LABELS", "Objects", "All objects in their colours"),
            ("LEFT", "Left", "What belongs to no object yet, in the scan's own colours"),
        ],
        update=_shown_changed,
    )
    point_size: FloatProperty(
        name="Point Size", description="Pixels", default=5.0, min=1.0, max=20.0, precision=1, update=_changed
    )
    opacity: FloatProperty(
        name="Mask", description="How strongly masks cover the colours", default=0.65, min=0.0, max=1.0,
        subtype="FACTOR", update=_changed,
    )  # fmt: skip
    legend: BoolProperty(name="Legend", description="List the objects in the viewport", default=True, update=_changed)
    voxel: BoolProperty(
        name="Voxel Cube", description="Show the working voxel as a wire cube where the last click is", default=True,
        update=_changed,
    )  # fmt: skip


def get() -> ScanpickView:
    return bpy.context.window_manager.scanpick_view


def register() -> None:
    bpy.utils.register_class(ScanpickView)
    bpy.types.WindowManager.scanpick_view = PointerProperty(type=ScanpickView)


def unregister() -> None:
    del bpy.types.WindowManager.scanpick_view
    bpy.utils.unregister_class(ScanpickView)
