"""Clicks: the selection of Edit Mode as one press; taking presses back."""

import time

import bpy
import numpy as np
from bpy.props import BoolProperty

from .. import handlers
from ..scan import vertex_set
from ..scan.geometry import Geometry, coordinates, selected_vertices
from ..session import application, edits, journal, starts
from ..session.pending import upcoming
from ..session.session import ClickError, session
from ..session.undo import Step
from ..study import study
from .common import active_known, fail, nothing_selected, poll_scan, poll_unlocked, scan_object

CLICKS_PER_SELECTION = 8


def current(geometry: Geometry) -> int | None:
    """The object that is chosen in the list, else the new one whose first mask is on its way; None where there is
    neither."""
    item = geometry.data.scanpick.active_item()
    return item.number if item is not None else session.pending.begun(geometry.data.session_uid)


def target(geometry: Geometry) -> tuple[int, list[journal.Change]]:
    """The object that a click belongs to, and the entry that makes it where there is none yet."""
    session.look_at(geometry)
    task = study.task_of(geometry.data)
    if task is not None:
        return task, []
    number = current(geometry)
    if number is not None:
        return number, []
    change = edits.creation(geometry)
    return change[1], [change]


def press(
    obj: bpy.types.Object,
    scene: bpy.types.Scene,
    points: np.ndarray,
    vertices: np.ndarray,
    at: np.ndarray,
    pins: np.ndarray,
    positive: bool,
) -> bool:
    """Submit one press of the artist. Returns whether a mask is on its way.

    Args:
        points: float (K, 3) in the mesh's own coordinates, the clicks that the network gets.
        vertices: int (K,) the clicked vertices, or corners of the clicked faces.
        at: float (K, 3) where these are.
        pins: int (M,) all vertices that must get the label.
    Raises:
        ClickError with a sentence.
    """
    geometry = Geometry(obj)
    number, changes = target(geometry)
    known = upcoming(geometry).get(number)
    if known is None and not changes:
        raise ClickError(study.GONE)
    if known is not None and known.locked:
        raise ClickError(known.locked_message("change"))
    if known is not None and not known.visible:
        changes = [("set", number, {"visible": True})]  # what a click changes is seen
    begun = known is not None and (known.starts or any(p.positive for p in known.presses))
    if not begun and not positive:
        raise ClickError("Start with a click on the object: there is nothing to take away from yet.")
    data = {
        "sign": 1 if positive else -1,
        "points": [[*p, int(v), *a] for p, v, a in zip(points.tolist(), vertices, at.tolist(), strict=True)],
        "pins": vertex_set.pack(pins),
        "n": geometry.count,
        "t": round(time.time(), 3),
    }
    step = Step.CLICK if positive else Step.REMOVE
    pending = session.submit(obj, scene, number, [*changes, ("click", number, data)], step)
    handlers.wake()
    return pending is not None


class SCANPICK_OT_click_selection(bpy.types.Operator):
    """Use the selected vertices as a click: the network finds the object they lie on.
    Every selected vertex gets the label, whatever the network says"""

    bl_idname = "scanpick.click_selection"
    bl_label = "Click Selection"
    bl_options = {"REGISTER"}

    positive: BoolProperty(name="Add", description="Add to the object, or take away from it", default=True)

    @classmethod
    def description(cls, context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        if properties.positive:
            return "The selected vertices belong to the object: the network finds the rest of it"
        return "The selected vertices do not belong to the object: the network corrects its mask"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_scan(cls, context):
            return False
        if context.object.type != "MESH" or context.object.mode != "EDIT":
            cls.poll_message_set("Go to Edit Mode and select vertices of the object")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = scan_object(context)
        with Geometry(obj).snapshot() as data:
            chosen = selected_vertices(data)
            raw = coordinates(data)
        if not chosen.size:
            return fail(self, obj.data, nothing_selected(context))
        chosen = chosen[np.isfinite(raw[chosen]).all(axis=1)]
        if not chosen.size:
            return fail(self, obj.data, "The selected vertices have no valid position: select others.")
        clicks = chosen[vertex_set.spread(raw[chosen], CLICKS_PER_SELECTION)]
        try:
            press(obj, context.scene, raw[clicks], clicks, raw[clicks], chosen, self.positive)
        except ClickError as error:
            return fail(self, obj.data, str(error), error.fix)
        return {"FINISHED"}


class SCANPICK_OT_take_back(bpy.types.Operator):
    """Take back the last click of this object, however long ago it was; its mask follows"""

    bl_idname = "scanpick.take_back"
    bl_label = "Take Back Last Click"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_scan(cls, context):
            return False
        data = scan_object(context).data
        if session.pending.of_data(data.session_uid):
            return True
        item = data.scanpick.active_item()
        if item is None or not item.clicks:
            cls.poll_message_set("This object has no click to take back")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = scan_object(context)
        if session.cancel_latest(obj.data.session_uid):
            return {"FINISHED"}
        geometry, known = active_known(context)
        if known.locked:
            return fail(self, obj.data, known.locked_message("change"))
        changes = [("back", known.number, {"entry": known.presses[-1].entry})]
        try:
            pending = session.submit(obj, context.scene, known.number, changes, Step.TAKE_BACK)
        except ClickError as error:
            return fail(self, obj.data, str(error), error.fix)
        handlers.wake()
        if pending is None:
            mask = starts.members(known, geometry.count)
            application.write_mask(geometry, known.number, mask, application.Noticed(), changes)
            bpy.ops.ed.undo_push(message=Step.TAKE_BACK.value)
        return {"FINISHED"}


class SCANPICK_OT_predict_again(bpy.types.Operator):
    """Ask the network again with the same clicks: for another voxel size, or to have the threshold at hand"""

    bl_idname = "scanpick.predict_again"
    bl_label = "Predict Again"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_unlocked(cls, context, "clicks", "This object has no click: click on it first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = scan_object(context)
        geometry, known = active_known(context)
        if upcoming(geometry).get(known.number).locked:  # accepted before its mask was here
            return fail(self, obj.data, known.locked_message("change"))
        try:
            changes = [("again", known.number, {})]
            pending = session.submit(obj, context.scene, known.number, changes, Step.AGAIN)
        except ClickError as error:
            return fail(self, obj.data, str(error), error.fix)
        if pending is None:
            return fail(self, obj.data, "This object has no click that adds: click on it first.")
        handlers.wake()
        return {"FINISHED"}


class SCANPICK_OT_cancel_pending(bpy.types.Operator):
    """Give up the click whose mask is on its way, as if it had not been made"""

    bl_idname = "scanpick.cancel_pending"
    bl_label = "Cancel Click"
    bl_options = {"INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        obj = scan_object(context)
        return obj is not None and bool(session.pending.of_data(obj.data.session_uid))

    def execute(self, context: bpy.types.Context) -> set[str]:
        session.cancel_latest(scan_object(context).data.session_uid)
        return {"FINISHED"}


CLASSES = (
    SCANPICK_OT_click_selection,
    SCANPICK_OT_take_back,
    SCANPICK_OT_predict_again,
    SCANPICK_OT_cancel_pending,
)
