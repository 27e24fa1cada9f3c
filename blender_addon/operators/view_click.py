"""Clicks with the tool in the viewport: add, remove, hover, choose, accept."""

import math

import bpy
import numpy as np
from bpy.props import BoolProperty, IntProperty
from bpy_extras.view3d_utils import region_2d_to_origin_3d, region_2d_to_vector_3d
from mathutils import Vector

from ..overlay import hidden, settings
from ..overlay.draw import is_drawn
from ..scan import masks
from ..scan.geometry import INSTANCE, SCAN_TYPES, Geometry, position_of
from ..session import edits, journal, object_list
from ..session.pending import upcoming
from ..session.session import ClickError, redraw, session
from ..study import study
from ..tool import hover, seeing
from .click import current, press, target
from .common import STUDIED, fail, poll_scan, scan_object, trouble, trouble_of


def _poll_view(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    if not poll_scan(cls, context):
        return False
    if context.mode != "OBJECT":
        cls.poll_message_set("Go to Object Mode; in Edit Mode select vertices and press Add")
        return False
    return True


def _sight(
    context: bpy.types.Context, event: bpy.types.Event, obj: bpy.types.Object | None, exact: bool
) -> seeing.Sight | None:
    """What of a scan is under the mouse."""
    if obj is None or context.region_data is None or not seeing.is_shown(obj, context.space_data):
        return None
    mouse = (event.mouse_region_x, event.mouse_region_y)
    size = settings.get().point_size * context.preferences.system.pixel_size
    culled = seeing.culls(context.space_data.shading, context.engine, obj)
    return seeing.sight(obj, context.region, context.region_data, mouse, size, exact, culled, hidden.vertices(obj))


def _elsewhere(
    context: bpy.types.Context, event: bpy.types.Event
) -> tuple[bpy.types.Object | None, seeing.Sight | None]:
    """Which object but the active one is seen under the mouse, and what of it a click hits: nothing, where it has faces
    and never was clicked on, as anything in the scene may be."""
    where = context.region, context.region_data, (event.mouse_region_x, event.mouse_region_y)
    origin, direction = region_2d_to_origin_3d(*where), region_2d_to_vector_3d(*where)
    other, found, nearest = None, None, math.inf
    hit, place, _, _, shown, _ = context.scene.ray_cast(context.evaluated_depsgraph_get(), origin, direction)
    if hit and _may_be_meant(context, shown.original):
        other, nearest = shown.original, (place - origin).length
        found = _sight(context, event, other, exact=True) if is_drawn(other) else None
    for obj in context.view_layer.objects:  # rays do not hit clouds
        cloud = obj.type == "POINTCLOUD" or (is_drawn(obj) and not len(obj.data.polygons))
        seen = _sight(context, event, obj, exact=True) if cloud and _may_be_meant(context, obj) else None
        if seen is not None:
            away = (obj.matrix_world @ Vector(seen.local) - origin).dot(direction)
            if away < nearest:
                other, found, nearest = obj, seen, away
    return other, found


def _may_be_meant(context: bpy.types.Context, obj: bpy.types.Object) -> bool:
    shown = obj.type in SCAN_TYPES and seeing.is_shown(obj, context.space_data)
    return shown and obj != context.object and not obj.hide_select


def _missed(context: bpy.types.Context, other: bpy.types.Object | None) -> str:
    """Why a click hits nothing, as a sentence."""
    obj = scan_object(context)
    if obj is None:
        return trouble(context)
    if not seeing.is_shown(obj, context.space_data):
        return f"Clicks go to “{obj.name}”, which is hidden: show it, or select another scan"
    if other is not None:
        return f"Clicks go to “{obj.name}”; to click on “{other.name}”, select it first"
    return f"There is no point of “{obj.name}” under the cursor"


def _select(context: bpy.types.Context, obj: bpy.types.Object) -> None:
    """As a click with Blender's own tools does."""
    for other in context.selected_objects:
        other.select_set(False)
    obj.select_set(True)
    context.view_layer.objects.active = obj
    bpy.ops.ed.undo_push(message="Select")


def owner_of(geometry: Geometry, vertex: int) -> int:
    """The number of the object that a vertex belongs to in Object Mode, -1 for none."""
    attribute = geometry.data.attributes.get(INSTANCE)
    if attribute is None or attribute.data_type != "INT" or attribute.domain != "POINT":
        return masks.NONE
    return attribute.data[vertex].value


class SCANPICK_OT_click(bpy.types.Operator):
    """Click on the scan: the network finds the object under the cursor, or takes away from its mask"""

    bl_idname = "scanpick.click"
    bl_label = "Click"
    bl_options = {"REGISTER"}

    positive: BoolProperty(name="Add", description="Add to the object, or take away from it", default=True)
    vertex: IntProperty(
        name="Vertex", description="Index of the clicked vertex, for scripts", default=-1, options={"SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if context.region_data is not None and context.mode == "OBJECT":
            return True  # where the active object is no scan that can be worked on, the click may choose one
        return _poll_view(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        obj = scan_object(context)
        found = _sight(context, event, obj, exact=True)
        if found is None:
            other, found = _elsewhere(context, event)
            studied = obj is not None and study.task_of(obj.data) is not None
            reason = trouble_of(other) if found is not None else ""
            if found is None or reason or studied or not self.positive:  # what is taken away is of the active scan
                sentence = reason or _missed(context, other)
                if obj is not None:
                    session.notice(obj.data.session_uid, "WARNING", sentence)
                self.report({"WARNING"}, sentence)
                return {"CANCELLED"}
            _select(context, other)
        self.vertex = found.vertex
        return self._press(context, found.vertex, found.local)

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = scan_object(context)
        if obj is None:
            return fail(self, None, trouble(context))
        count = Geometry(obj).count
        if not 0 <= self.vertex < count:
            return fail(self, obj.data, f"There is no vertex {self.vertex}: the scan has {count:,}.")
        return self._press(context, self.vertex, position_of(obj.data, self.vertex))

    def _press(self, context: bpy.types.Context, vertex: int, local: tuple[float, float, float]) -> set[str]:
        obj = scan_object(context)
        reason = trouble(context)
        if reason:
            return fail(self, obj.data, reason)
        geometry = Geometry(obj)
        if not np.isfinite(local).all():
            return fail(self, obj.data, "This vertex has no valid position: click on another.")
        owner = journal.state(geometry).get(owner_of(geometry, vertex))
        number, _ = target(geometry)
        if owner is not None and owner.locked and (owner.number == number or self.positive):
            sentence = f"This belongs to “{owner.name}”, which is locked: unlock it to change it."
            session.notice(obj.data.session_uid, "WARNING", sentence, "scanpick.object_unlock", owner.number)
            self.report({"WARNING"}, sentence)
            return {"CANCELLED"}
        try:
            clicked = np.array([vertex])
            at = np.array([position_of(obj.data, vertex)])
            press(obj, context.scene, np.array([local]), clicked, at, clicked, self.positive)
        except ClickError as error:
            return fail(self, obj.data, str(error), error.fix)
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_hover(bpy.types.Operator):
    """Show the vertex that a click would hit"""

    bl_idname = "scanpick.hover"
    bl_label = "Hover"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.mode == "OBJECT" and scan_object(context) is not None and context.region_data is not None

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        obj = scan_object(context)
        found = _sight(context, event, obj, exact=False)
        before = hover.current
        hover.current = None
        if found is not None:
            hover.current = hover.Hover(context.region.as_pointer(), obj.session_uid, found.local, not event.ctrl)
        if hover.current != before:
            context.area.tag_redraw()
            if before is not None and before.region != context.region.as_pointer():
                redraw()
        return {"PASS_THROUGH"}


class SCANPICK_OT_choose(bpy.types.Operator):
    """Choose the object under the cursor; the next clicks belong to it"""

    bl_idname = "scanpick.choose"
    bl_label = "Choose Object"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _poll_view(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        found = _sight(context, event, scan_object(context), exact=True)
        geometry = Geometry(scan_object(context))
        if study.task_of(geometry.data) is not None:
            return fail(self, geometry.data, f"{STUDIED}.")
        number = owner_of(geometry, found.vertex) if found is not None else masks.NONE
        known = journal.state(geometry).get(number)
        if known is None:
            self.report({"INFO"}, "There is no object under the cursor")
            return {"CANCELLED"}
        object_list.activate(geometry, number)
        self.report({"INFO"}, f"Clicks now belong to “{known.name}”")
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_next_object(bpy.types.Operator):
    """Leave this object as it is; the next click starts a new one"""

    bl_idname = "scanpick.next_object"
    bl_label = "Next Object"
    bl_options = {"REGISTER", "UNDO"}

    accept: BoolProperty(name="Lock", description="Lock the object, so that no other takes its vertices")

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        if properties.accept:
            return "Accept: lock this object, so that no other takes its vertices; the next click starts a new one"
        return cls.__doc__

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_scan(cls, context):
            return False
        if current(Geometry(scan_object(context))) is None:
            cls.poll_message_set("No object is chosen: the next click starts a new one")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry = Geometry(scan_object(context))
        uid = geometry.data.session_uid
        if study.task_of(geometry.data) is not None:  # not in `poll`: a key whose `poll` fails says nothing
            return fail(self, geometry.data, f"{STUDIED}.")
        known = upcoming(geometry).get(current(geometry))
        if self.accept and not known.locked and not session.pending.accept(uid, known.number):
            edits.change(geometry, {known.number: {"locked": True}})
        session.pending.leave(uid)
        object_list.choose_none(geometry)
        self.report({"INFO"}, f"“{known.name}” is {'accepted' if self.accept else 'left'}: click on the next object")
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_object_unlock(bpy.types.Operator):
    """Unlock the object that was just clicked on, and choose it"""

    bl_idname = "scanpick.object_unlock"
    bl_label = "Unlock"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_scan(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        geometry = Geometry(scan_object(context))
        notice = session.notice_of(geometry.data.session_uid)
        known = journal.state(geometry).get(notice.number) if notice is not None else None
        if known is None:
            return {"CANCELLED"}
        edits.change(geometry, {known.number: {"locked": False}})
        object_list.activate(geometry, known.number)
        session.notice(geometry.data.session_uid, "INFO", f"“{known.name}” is unlocked and chosen")
        return {"FINISHED"}


class SCANPICK_OT_toggle_colors(bpy.types.Operator):
    """Switch between the scan's own colours and the objects' colours"""

    bl_idname = "scanpick.toggle_colors"
    bl_label = "Toggle Colours"
    bl_options = {"INTERNAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        view = settings.get()
        view.mode = "LABELS" if view.mode == "RGB" else "RGB"
        return {"FINISHED"}


CLASSES = (
    SCANPICK_OT_click,
    SCANPICK_OT_hover,
    SCANPICK_OT_choose,
    SCANPICK_OT_next_object,
    SCANPICK_OT_object_unlock,
    SCANPICK_OT_toggle_colors,
)
