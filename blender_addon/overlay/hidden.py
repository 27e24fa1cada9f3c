"""What of a scan is not shown: objects whose eye is closed, and in “Left” all but the chosen object.

That goes for scans without faces, whose colours the overlay alone shows. Blender itself draws a black dot for every
vertex, but for objects that are displayed as their bounds: so a scan is, while something of it is hidden. What the
artist had instead is kept with the object, so that undo, copies and files have both or neither.
"""

import bpy
import numpy as np
from bpy.props import StringProperty

from ..scan import masks
from ..scan.geometry import SCAN_TYPES, Geometry
from ..session import object_list, watch
from ..tool import hover
from . import settings

BOUNDS = "BOUNDS"

_vertices: dict[int, tuple[tuple, np.ndarray]] = {}
_followed = -1


def forget_all() -> None:
    _vertices.clear()


def numbers(obj: bpy.types.Object) -> frozenset[int]:
    """The objects of a scan that are not shown now; in Edit Mode Blender shows all vertices."""
    if obj.type == "MESH" and obj.data.is_editmode:
        return frozenset()
    found = _numbers(obj)
    chosen = obj.data.scanpick.active_item() if found else None
    return found - {chosen.number} if chosen is not None and chosen.visible else found


def _numbers(obj: bpy.types.Object) -> frozenset[int]:
    """The same, if no object is chosen."""
    view = settings.get()
    if not view.show or obj.type not in SCAN_TYPES or obj.data is None:
        return frozenset()
    if not obj.data.is_editable or obj.override_library is not None:  # there the artist could not open an eye again
        return frozenset()
    if obj.type == "MESH" and len(obj.data.polygons):
        return frozenset()
    left = view.mode == "LEFT"
    return frozenset(item.number for item in obj.data.scanpick.objects if left or not item.visible)


def vertices(obj: bpy.types.Object) -> np.ndarray | None:
    """bool (N,): the vertices that are not shown, None where all are; the same array until that changes."""
    found = numbers(obj)
    if not found:
        return None
    uid = obj.data.session_uid
    version = found, watch.version(uid)
    if uid not in _vertices or _vertices[uid][0] != version:
        _vertices[uid] = version, np.isin(masks.read_instance(Geometry(obj)), list(found))
    return _vertices[uid][1]


def synchronise() -> None:
    """Display all scans as they have to be: after undo, redo, load and changes of the view."""
    for obj in bpy.data.objects:
        _display(obj)


def follow() -> None:
    """`synchronise`, where somebody else has changed something since; from the timer."""
    global _followed
    if _followed != watch.changes():
        _followed = watch.changes()
        synchronise()


def give_back() -> None:
    """Display all scans as the artist had them, until `synchronise`: in files, and when the add-on goes."""
    for obj in bpy.data.objects:
        # where the artist has chosen something else meanwhile, the property goes on telling that
        if obj.scanpick_display and obj.display_type == BOUNDS:
            obj.display_type = obj.scanpick_display
            obj.property_unset("scanpick_display")


def _display(obj: bpy.types.Object) -> None:
    """Have the object displayed as it has to be; an artist who chooses otherwise meanwhile is obeyed."""
    before = obj.scanpick_display
    if _numbers(obj):
        if not before:
            obj.scanpick_display, obj.display_type = obj.display_type, BOUNDS
    elif before:
        if obj.display_type == BOUNDS:
            obj.display_type = before
        obj.property_unset("scanpick_display")


def _labels_changed(data_uid: int, instance: np.ndarray) -> None:
    _vertices.pop(data_uid, None)
    for obj in bpy.data.objects:
        if obj.data is not None and obj.data.session_uid == data_uid:
            _display(obj)


def _view_changed() -> None:
    hover.current = None
    synchronise()


def register() -> None:
    bpy.types.Object.scanpick_display = StringProperty(
        name="Display As", description="How the scan is displayed while nothing of it is hidden", options={"HIDDEN"}
    )
    object_list.instance_listeners.append(_labels_changed)
    settings.listeners.append(_view_changed)


def unregister() -> None:
    settings.listeners.remove(_view_changed)
    object_list.instance_listeners.remove(_labels_changed)
    give_back()
    del bpy.types.Object.scanpick_display
    forget_all()
