"""Operators on the object list."""

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from ..scan.geometry import Geometry
from ..session import edits, journal
from ..session.session import redraw, session
from ..tool import hover
from .common import OnChosenObject, active_known, fail, poll_scan, poll_unstudied, scan_object


class _ChangesList(OnChosenObject):
    """One that makes objects or takes them away."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return super().poll(context) and poll_unstudied(cls, context)


class SCANPICK_OT_object_new(bpy.types.Operator):
    """Start a new object; the next clicks belong to it"""

    bl_idname = "scanpick.object_new"
    bl_label = "New Object"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Name", description="Name of the object and of its vertex group", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_scan(cls, context) and poll_unstudied(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry = Geometry(scan_object(context))
        if not geometry.count:
            return fail(self, geometry.data, f"“{geometry.obj.name}” has no vertices: choose the object with the scan.")
        edits.create(geometry, self.name)
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_object_delete(_ChangesList, bpy.types.Operator):
    """Delete this object with its vertex group and clicks; the scan's vertices stay"""

    bl_idname = "scanpick.object_delete"
    bl_label = "Delete Object"

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry, known = active_known(context)
        if known.locked:
            return fail(self, geometry.data, known.locked_message("delete"))
        for pending in session.pending.of_object(geometry.data.session_uid, known.number):
            session.cancel(pending)
        if journal.state(geometry).overlap:
            session.settle(geometry)
        edits.delete(geometry, known.number)
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_object_duplicate(_ChangesList, bpy.types.Operator):
    """Copy this object with its mask and clicks"""

    bl_idname = "scanpick.object_duplicate"
    bl_label = "Duplicate Object"

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry, known = active_known(context)
        session.settle(geometry)
        edits.duplicate(geometry, known.number)
        self.report({"INFO"}, "The copy shares its vertices with the original, so Allow Overlap is now on")
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_object_merge(_ChangesList, bpy.types.Operator):
    """Add the vertices and clicks of the next object in the list to this one"""

    bl_idname = "scanpick.object_merge"
    bl_label = "Merge With Next"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        scan = scan_object(context).data.scanpick
        if scan.active + 1 >= len(scan.objects):
            cls.poll_message_set("There is no object below this one in the list: move it up first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry, known = active_known(context)
        scan = geometry.data.scanpick
        other = journal.state(geometry).get(scan.objects[scan.active + 1].number)
        for each in (known, other):
            if each.locked:
                return fail(self, geometry.data, each.locked_message("merge"))
            if session.pending.of_object(geometry.data.session_uid, each.number):
                return fail(self, geometry.data, f"A mask of “{each.name}” is still on its way: wait for it.")
        session.settle(geometry)
        edits.merge(geometry, known.number, [other.number])
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_object_move(OnChosenObject, bpy.types.Operator):
    """Move this object in the list; where objects overlap, the upper one shows"""

    bl_idname = "scanpick.object_move"
    bl_label = "Move Object"

    direction: EnumProperty(
        name="Direction",
        description="Where to move the object in the list",
        items=[("UP", "Up", "Towards the top"), ("DOWN", "Down", "Towards the bottom")],
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry, known = active_known(context)
        if journal.state(geometry).overlap:
            session.settle(geometry)
        edits.move(geometry, known.number, -1 if self.direction == "UP" else 1)
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_object_show(bpy.types.Operator):
    """Show this object, or hide it. Ctrl-click shows it alone, and again all of them"""

    bl_idname = "scanpick.object_show"
    bl_label = "Show Object"
    bl_options = {"REGISTER", "UNDO"}

    number: IntProperty(name="Number", description="The object's number", options={"HIDDEN", "SKIP_SAVE"})
    alone: BoolProperty(
        name="Alone",
        description="Show no other object, or all where there is no other",
        options={"HIDDEN", "SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_scan(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        self.alone = event.ctrl
        return self.execute(context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry = Geometry(scan_object(context))
        shown = {known.number: known.visible for known in journal.state(geometry).objects}
        if self.number not in shown:
            return {"CANCELLED"}
        only = {number: number == self.number for number in shown}
        if not self.alone:
            wanted = {self.number: not shown[self.number]}
        elif shown == only:
            wanted = dict.fromkeys(shown, True)
        else:
            wanted = only
        hover.current = None
        uid = geometry.data.session_uid
        notice = session.notice_of(uid)
        changed = {number: {"visible": value} for number, value in wanted.items() if value != shown[number]}
        if changed:
            edits.change(geometry, changed)
        if notice is not None:  # still true, and without it the list would move away from under the mouse
            session.notice(uid, notice.level, notice.text, notice.operator, notice.number)
        redraw()
        return {"FINISHED"}


CLASSES = (
    SCANPICK_OT_object_new,
    SCANPICK_OT_object_delete,
    SCANPICK_OT_object_duplicate,
    SCANPICK_OT_object_merge,
    SCANPICK_OT_object_move,
    SCANPICK_OT_object_show,
)
