"""What all operators share: finding the scan, and saying why something cannot be done."""

import bpy

from ..scan.geometry import SCAN_TYPES, Geometry
from ..session import journal
from ..session.session import session
from ..session.state import ObjectState
from ..study import study

STUDIED = "While a study runs, all clicks belong to the object in the yellow frame: submit it, or stop the study"
NO_SCAN = 0
"""In place of a scan's session id, for notices where there is no scan: Blender counts from 1."""


def scan_object(context: bpy.types.Context) -> bpy.types.Object | None:
    """The active object where it can be a scan."""
    obj = context.object
    return obj if obj is not None and obj.type in SCAN_TYPES else None


def trouble(context: bpy.types.Context) -> str:
    """Why the active object cannot be worked on, as a sentence; "" where it can."""
    return trouble_of(scan_object(context))


def trouble_of(obj: bpy.types.Object | None) -> str:
    """Why an object cannot be worked on, as a sentence; "" where it can."""
    if obj is None:
        return "Select a scan first: a mesh or a point cloud"
    if obj.library is not None or obj.data.library is not None:
        return f"“{obj.name}” is linked from another file: make it local first (Object > Relations > Make Local)"
    if obj.override_library is not None or not obj.data.is_editable:
        return f"“{obj.name}” cannot be edited in this file: make it local first (Object > Relations > Make Local)"
    if obj.mode != "EDIT" and obj.type == "MESH" and obj.data.is_editmode:
        return f"The mesh of “{obj.name}” is in Edit Mode under another object: leave Edit Mode there first"
    if obj.mode not in ("OBJECT", "EDIT"):
        return "Go to Object Mode or Edit Mode first"
    return ""


def poll_scan(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For `poll`: there is a scan that can be worked on; else the tooltip says why not."""
    reason = trouble(context)
    if reason:
        cls.poll_message_set(reason)
    return not reason


def poll_active(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For `poll`: like `poll_scan`, and an object of the scan is chosen."""
    if not poll_scan(cls, context):
        return False
    if scan_object(context).data.scanpick.active_item() is None:
        cls.poll_message_set("Choose an object in the list, or make a new one")
        return False
    return True


def poll_unlocked(cls: type[bpy.types.Operator], context: bpy.types.Context, counted: str, nothing: str) -> bool:
    """For `poll`: like `poll_active`, the object is not locked, and it has some of what the list counts.

    counted: "clicks" or "vertices"; nothing: what to say where there are none.
    """
    if not poll_active(cls, context):
        return False
    item = scan_object(context).data.scanpick.active_item()
    if item.locked:
        cls.poll_message_set("This object is locked: unlock it to change it")
    elif not getattr(item, counted):
        cls.poll_message_set(nothing)
    return bool(getattr(item, counted)) and not item.locked


class OnChosenObject:
    """An operator on the object that is chosen in the list; its work is one undo step."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_active(cls, context)


def poll_unstudied(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For `poll`: the active object is no scan of a running study, where no object may be but the one asked for."""
    obj = scan_object(context)
    studied = obj is not None and study.task_of(obj.data) is not None
    if studied:
        cls.poll_message_set(STUDIED)
    return not studied


def poll_object_mode(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For `poll`: like `poll_scan`, and Blender is in Object Mode."""
    if not poll_scan(cls, context):
        return False
    if context.mode != "OBJECT":
        cls.poll_message_set("Go to Object Mode first")
        return False
    return True


def poll_objects(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """For `poll`: like `poll_object_mode`, and the scan has objects."""
    if not poll_object_mode(cls, context):
        return False
    if not scan_object(context).data.scanpick.objects:
        cls.poll_message_set("There is no object yet: click one out first")
        return False
    return True


def active_known(context: bpy.types.Context) -> tuple[Geometry, ObjectState]:
    """The active scan and its chosen object."""
    geometry = Geometry(scan_object(context))
    session.look_at(geometry)
    number = geometry.data.scanpick.active_item().number
    return geometry, journal.state(geometry).get(number)


def nothing_selected(context: bpy.types.Context) -> str:
    """What to say where no vertex of the active scan is selected in Edit Mode, which may be that of several meshes."""
    obj = scan_object(context)
    for other in context.view_layer.objects:
        if other.mode == "EDIT" and other.type == "MESH" and other.data != obj.data and other.data.total_vert_sel:
            return (
                f"Clicks go to the active scan, “{obj.name}”, of which no vertex is selected: for “{other.name}” make "
                "that the active one, with a click on one of its vertices."
            )
    return "No vertex is selected: select some vertices of the object first."


def fail(operator: bpy.types.Operator, data: bpy.types.ID | None, sentence: str, fix: str = "") -> set[str]:
    """Tell the artist in the status bar and in the panel that something was not done."""
    if data is not None:
        session.notice(data.session_uid, "ERROR", sentence, fix)
    operator.report({"WARNING"}, sentence)
    return {"CANCELLED"}
