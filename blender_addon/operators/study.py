"""Operators of the study mode."""

from pathlib import Path

import bpy
from bpy.props import EnumProperty, IntProperty, StringProperty

from ..labels.labels import LabelError
from ..session.session import session
from ..study import study
from ..study.recording import Recording
from .common import fail, poll_object_mode, scan_object
from .labels import attribute_items


class SCANPICK_OT_study_start(bpy.types.Operator):
    """Record a study: objects of this labelled scan are asked for one by one, and every click is kept with its time"""

    bl_idname = "scanpick.study_start"
    bl_label = "Start Study"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File", description="Where the session goes", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    attribute: EnumProperty(name="Labels", description="The attribute that tells the objects", items=attribute_items)
    count: IntProperty(name="Objects", description="How many objects are asked for", default=10, min=1)
    seed: IntProperty(name="Seed", description="Another seed asks for other objects, in another order", min=0)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_object_mode(cls, context):
            return False
        if study.running() is not None:
            cls.poll_message_set("A study is running: stop it first")
            return False
        if scan_object(context).data.scanpick.objects:
            cls.poll_message_set("This scan has objects, which would help or hinder: delete them, or study a copy")
            return False
        if not attribute_items(None, context):
            cls.poll_message_set("This scan has no labels: a study needs to know its objects")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        self.filepath = str(folder / "study.json")
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj, path = scan_object(context), Path(bpy.path.abspath(self.filepath)).with_suffix(".json")
        if path.exists():
            return fail(self, obj.data, f"There is a study at {path} already: choose another name.")
        try:
            study.start(obj, self.attribute, path, self.count, self.seed)
        except (study.StudyError, LabelError) as error:
            return fail(self, obj.data, str(error))
        return {"FINISHED"}


class SCANPICK_OT_study_submit(bpy.types.Operator):
    """This object is good enough: keep its clicks and go to the next one"""

    bl_idname = "scanpick.study_submit"
    bl_label = "Submit"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return study.running() is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = study.scan()
        try:
            recording = study.submit()
        except study.StudyError as error:
            return fail(self, obj.data if obj is not None else None, str(error))
        _tell_what_is_saved(self, obj, recording)
        return {"FINISHED"}


class SCANPICK_OT_study_stop(bpy.types.Operator):
    """End the study here; what was submitted is in its file"""

    bl_idname = "scanpick.study_stop"
    bl_label = "Stop Study"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return study.running() is not None

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj, recording = study.scan(), study.running()
        study.abandon()
        if obj is not None and recording.done:
            _tell_what_is_saved(self, obj, recording)
        return {"FINISHED"}


def _tell_what_is_saved(operator: bpy.types.Operator, obj: bpy.types.Object, recording: Recording) -> None:
    text = f"{len(recording.done)} of {len(recording.tasks)} objects saved to {recording.path}"
    session.notice(obj.data.session_uid, "INFO", text + ".")
    operator.report({"INFO"}, text)


CLASSES = (SCANPICK_OT_study_start, SCANPICK_OT_study_submit, SCANPICK_OT_study_stop)
