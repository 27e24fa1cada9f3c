"""Objects from masks that were made elsewhere: vertex groups and boolean attributes, to be corrected by clicks."""

from collections.abc import Iterator

import bpy
import numpy as np
from bpy.props import EnumProperty

from ..scan import masks
from ..scan.geometry import Geometry, read_bool
from ..session import application, edits
from ..session.application import ApplicationError, Noticed
from ..session.session import redraw, session
from .common import poll_scan, poll_unstudied, scan_object
from .steps import InSteps

EVERY = "*"
_shown: list[tuple[str, str, str]] = []  # Blender keeps no reference to the texts of a menu


def candidates(geometry: Geometry) -> list[str]:
    """Names of the masks that belong to no object of the list yet."""
    ours = {item.name for item in geometry.data.scanpick.objects}
    names = masks.mask_names(geometry)
    if geometry.is_mesh:
        attributes = geometry.data.attributes
        flags = [a.name for a in attributes if a.domain == "POINT" and a.data_type == "BOOLEAN"]
        names += [name for name in flags if name not in names]
    return [name for name in names if name not in ours and not name.startswith(".")]


def _items(operator: bpy.types.Operator, context: bpy.types.Context | None) -> list[tuple[str, str, str]]:
    obj = scan_object(context) if context is not None else None
    names = candidates(Geometry(obj)) if obj is not None else []
    _shown[:] = [(EVERY, "Every One", "One object for each mask that belongs to none yet")]
    _shown.extend((name, name, "Vertex group or attribute of the scan") for name in names)
    return _shown


class SCANPICK_OT_object_from_group(InSteps, bpy.types.Operator):
    """Make an object of a vertex group or a boolean attribute, and correct it by clicks. Where you do not click, it
    stays as it is"""

    bl_idname = "scanpick.object_from_group"
    bl_label = "Object From Vertex Group"
    bl_options = {"REGISTER", "UNDO"}

    group: EnumProperty(name="Group", description="The mask to start from", items=_items, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_scan(cls, context) or not poll_unstudied(cls, context):
            return False
        if context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
            return False
        if not candidates(Geometry(scan_object(context))):
            cls.poll_message_set("This scan has no vertex group that is not an object already")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        obj = scan_object(context)
        uids = obj.session_uid, obj.data.session_uid
        geometry = Geometry(obj)
        names = candidates(geometry) if self.group == EVERY else [self.group]
        noticed = yield from session.noticing(geometry)
        members = yield from masks.read_members(geometry, names)
        made, kept = 0, 0
        for place, name in enumerate(names, 1):
            geometry = application.geometry_of(*uids)
            inside = np.zeros(geometry.count, dtype=bool)
            attribute = read_bool(geometry.data, name) if geometry.is_mesh else None
            copied = attribute is not None and name not in geometry.obj.vertex_groups
            inside[attribute if copied else members[name]] = True
            if inside.any():
                change = edits.creation(geometry, name)
                if not copied:
                    change[2]["name"] = name
                result = application.write_start(geometry, change[1], inside, noticed, [change], in_place=not copied)
                kept += result.protected
                if result.vertices:
                    noticed = Noticed()
                    made += 1
            yield place / len(names)
        if not made and kept:
            raise ApplicationError("All its vertices belong to locked objects: unlock them first.")
        if not made:
            raise ApplicationError("There is no vertex in it (with a weight of 0.5 or more): choose another.")
        self._told = f"{made} objects were made" if made > 1 else f"“{name}” is an object now: click where it is wrong"
        if kept:
            self._told += f"; {kept:,} vertices stay with locked objects"
        session.notice(uids[1], "INFO", self._told + ".")

    def finished(self, context: bpy.types.Context) -> set[str]:
        self.report({"INFO"}, self._told)
        redraw()
        return {"FINISHED"}


CLASSES = (SCANPICK_OT_object_from_group,)
