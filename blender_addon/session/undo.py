"""Undo steps for masks that arrive while no operator runs.

An operator without properties pushes them. After `ed.undo_push` Blender's "Adjust Last Operation" would go on showing
the operator before, and changing a value there undoes every click since.
"""

from enum import Enum

import bpy


class Step(Enum):
    """What was done, in the words of Undo History."""

    CLICK = "Scanpick: Click"
    REMOVE = "Scanpick: Remove"
    TAKE_BACK = "Scanpick: Take Back Click"
    AGAIN = "Scanpick: Predict Again"

    @property
    def operator(self) -> str:
        """The name, in `bpy.ops.scanpick`, of the operator that pushes it."""
        return f"step_{self.name.lower()}"


pushing = False
"""Whether a step is being pushed: nothing else may run its operator, as Repeat Last would."""


def push(step: Step) -> None:
    """Push one undo step."""
    global pushing
    if bpy.app.background and not bpy.ops.ed.undo.poll():
        bpy.ops.ed.undo_push(message=step.value)  # without a window undo begins with this operator only
        return
    pushing = True
    try:
        getattr(bpy.ops.scanpick, step.operator)("EXEC_DEFAULT", True)
    finally:
        pushing = False
