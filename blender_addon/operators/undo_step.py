"""Operators that do nothing but push an undo step (session/undo.py)."""

import bpy

from ..session import undo
from ..session.undo import Step


class _UndoStep:
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return undo.pushing

    def execute(self, context: bpy.types.Context) -> set[str]:
        return {"FINISHED"}


class SCANPICK_OT_step_click(_UndoStep, bpy.types.Operator):
    """A click's mask has come"""

    bl_idname = f"scanpick.{Step.CLICK.operator}"
    bl_label = Step.CLICK.value


class SCANPICK_OT_step_remove(_UndoStep, bpy.types.Operator):
    """The mask of a click that takes away has come"""

    bl_idname = f"scanpick.{Step.REMOVE.operator}"
    bl_label = Step.REMOVE.value


class SCANPICK_OT_step_take_back(_UndoStep, bpy.types.Operator):
    """The mask without a click has come"""

    bl_idname = f"scanpick.{Step.TAKE_BACK.operator}"
    bl_label = Step.TAKE_BACK.value


class SCANPICK_OT_step_again(_UndoStep, bpy.types.Operator):
    """The mask of the same clicks has come"""

    bl_idname = f"scanpick.{Step.AGAIN.operator}"
    bl_label = Step.AGAIN.value


CLASSES = (SCANPICK_OT_step_click, SCANPICK_OT_step_remove, SCANPICK_OT_step_take_back, SCANPICK_OT_step_again)
