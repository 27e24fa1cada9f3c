"""The study mode's panel, where it was asked for in the preferences."""

import bpy

from .. import preferences
from ..operators.common import trouble
from ..study import study
from .panel import Tab, draw_sentence


class SCANPICK_PT_study(Tab, bpy.types.Panel):
    bl_idname = "SCANPICK_PT_study"
    bl_label = "Study"
    bl_order = 0  # the participant must see what is asked for

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return study.running() is not None or (preferences.get().study_mode and not trouble(context))

    def draw(self, context: bpy.types.Context) -> None:
        layout, recording = self.layout, study.running()
        if recording is None:
            layout.operator("scanpick.study_start", text="Start Study…", icon="REC")
            return
        name = recording.names.get(recording.task) or "object"
        draw_sentence(
            layout,
            context,
            f"Object {len(recording.done) + 1} of {len(recording.tasks)}: click out the {name} in the yellow frame.",
            "REC",
        )
        row = layout.row()
        row.scale_y = 1.3
        row.operator("scanpick.study_submit", icon="CHECKMARK")
        layout.operator("scanpick.study_stop")


CLASSES = (SCANPICK_PT_study,)
