"""Finishing a mask by hand: the network is not asked, and later predictions keep what was done."""

from collections.abc import Iterator

import bpy
import numpy as np
from bpy.props import FloatProperty, IntProperty

from ..scan import neighbours
from ..scan.geometry import Geometry, selected_vertices
from ..scan.neighbours import Neighbours
from ..session import finishing, journal, starts
from ..session.application import ApplicationError
from ..session.finishing import Work
from ..session.pins import pins_of
from ..session.session import redraw, session
from ..session.state import ObjectState
from .click import target
from .common import active_known, nothing_selected, poll_active, poll_scan, poll_unlocked, scan_object
from .steps import InSteps

_STEPS = IntProperty(name="Steps", description="How often to do it", default=1, min=1, max=50)


class _ByHand(InSteps):
    """An operator that changes the chosen object's mask."""

    def steps(self, context: bpy.types.Context) -> Iterator[None]:
        obj = scan_object(context)
        uid = obj.data.session_uid
        number, changes = self.object_and_changes(context)

        def work(known: ObjectState, mask: np.ndarray) -> Work:
            return self.wanted(context, obj, known, mask)

        known, result = yield from finishing.change_by_hand(obj, number, changes, work)
        self._told = f"{known.name}: {result.vertices:,} vertices (+{result.added:,}, -{result.removed:,})"
        if result.protected:
            self._told += f"; {result.protected:,} of locked objects or hidden were left as they are"
        session.notice(uid, "INFO", self._told + ".")

    def wanted(self, context: bpy.types.Context, obj: bpy.types.Object, known: ObjectState, mask: np.ndarray) -> Work:
        """Yields until the mask as it shall be is there."""
        raise NotImplementedError

    def object_and_changes(self, context: bpy.types.Context) -> tuple[int, list[journal.Change]]:
        return active_known(context)[1].number, []

    def finished(self, context: bpy.types.Context) -> set[str]:
        self.report({"INFO"}, self._told)
        redraw()
        return {"FINISHED"}


class _Finish(_ByHand):
    """One that looks at what lies beside what."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_unlocked(cls, context, "vertices", "This object has no mask yet: click on it first")

    def wanted(self, context: bpy.types.Context, obj: bpy.types.Object, known: ObjectState, mask: np.ndarray) -> Work:
        return finishing.among_neighbours(obj, context.scene, lambda around: self.finish(around, mask, known))

    def finish(self, around: Neighbours, mask: np.ndarray, known: ObjectState) -> np.ndarray:
        """The mask as it shall be, bool (N,). Runs in a thread."""
        raise NotImplementedError


class SCANPICK_OT_keep_connected(_Finish, bpy.types.Operator):
    """Take away the parts of the mask that no click of yours is on. Where there is no click, keep the largest part"""

    bl_idname = "scanpick.keep_connected"
    bl_label = "Keep Clicked Parts"

    def finish(self, around: Neighbours, mask: np.ndarray, known: ObjectState) -> np.ndarray:
        places = np.flatnonzero(pins_of(starts.clicks_only(known), len(mask)) > 0)
        return neighbours.connected_to(around, mask, places)


class SCANPICK_OT_fill_holes(_Finish, bpy.types.Operator):
    """Add what the mask surrounds on all sides"""

    bl_idname = "scanpick.fill_holes"
    bl_label = "Fill Holes"

    largest: FloatProperty(
        name="Largest", description="Largest hole that is filled, against the size of the mask", default=0.1,
        min=0.0, max=1.0, subtype="FACTOR",
    )  # fmt: skip

    def finish(self, around: Neighbours, mask: np.ndarray, known: ObjectState) -> np.ndarray:
        return neighbours.fill_holes(around, mask, int(self.largest * mask.sum()))


class SCANPICK_OT_grow_mask(_Finish, bpy.types.Operator):
    """Move the mask's border outwards: by half a voxel on a cloud, by one vertex on a mesh with faces"""

    bl_idname = "scanpick.grow_mask"
    bl_label = "Grow"

    repeat: _STEPS

    def finish(self, around: Neighbours, mask: np.ndarray, known: ObjectState) -> np.ndarray:
        for _ in range(self.repeat):
            mask = around.grow(mask)
        return mask


class SCANPICK_OT_shrink_mask(_Finish, bpy.types.Operator):
    """Move the mask's border inwards: by half a voxel on a cloud, by one vertex on a mesh with faces"""

    bl_idname = "scanpick.shrink_mask"
    bl_label = "Shrink"

    repeat: _STEPS

    def finish(self, around: Neighbours, mask: np.ndarray, known: ObjectState) -> np.ndarray:
        for _ in range(self.repeat):
            mask = neighbours.shrink(around, mask)
        return mask


class SCANPICK_OT_smooth_mask(_Finish, bpy.types.Operator):
    """Straighten the mask's border: every vertex does as most of its surroundings do"""

    bl_idname = "scanpick.smooth_mask"
    bl_label = "Smooth Border"

    repeat: _STEPS

    def finish(self, around: Neighbours, mask: np.ndarray, known: ObjectState) -> np.ndarray:
        for _ in range(self.repeat):
            mask = around.smooth(mask)
        return mask


class _Selection(_ByHand):
    """Puts the vertices selected in Edit Mode into the mask, or takes them out."""

    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_scan(cls, context):
            return False
        if context.object.type != "MESH" or context.object.mode != "EDIT":
            cls.poll_message_set("Go to Edit Mode and select vertices, for example by box, circle or lasso")
            return False
        return True

    def wanted(self, context: bpy.types.Context, obj: bpy.types.Object, known: ObjectState, mask: np.ndarray) -> Work:
        with Geometry(obj).snapshot() as data:
            chosen = selected_vertices(data)
        if not chosen.size:
            raise ApplicationError(nothing_selected(context))
        yield from ()
        wanted = mask.copy()
        wanted[chosen] = self.adds
        return wanted


class SCANPICK_OT_add_by_hand(_Selection, bpy.types.Operator):
    """Put exactly the selected vertices into the object, without asking the network. They stay in"""

    bl_idname = "scanpick.add_by_hand"
    bl_label = "Add Selection by Hand"
    adds = True

    def object_and_changes(self, context: bpy.types.Context) -> tuple[int, list[journal.Change]]:
        return target(Geometry(scan_object(context)))


class SCANPICK_OT_remove_by_hand(_Selection, bpy.types.Operator):
    """Take exactly the selected vertices out of the object, without asking the network. They stay out"""

    bl_idname = "scanpick.remove_by_hand"
    bl_label = "Remove Selection by Hand"
    adds = False

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_active(cls, context) and super().poll(context)


CLASSES = (
    SCANPICK_OT_keep_connected,
    SCANPICK_OT_fill_holes,
    SCANPICK_OT_grow_mask,
    SCANPICK_OT_shrink_mask,
    SCANPICK_OT_smooth_mask,
    SCANPICK_OT_add_by_hand,
    SCANPICK_OT_remove_by_hand,
)
