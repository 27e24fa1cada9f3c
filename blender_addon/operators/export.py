"""Operators that bring objects out of the scan: as Blender objects and as files."""

from collections.abc import Iterator

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..export import files, separate
from ..scan.geometry import Geometry
from .common import fail, poll_scan, scan_object

ORIGINS = [
    (separate.BOTTOM, "Bottom Centre", "Under the middle of each object, at its lowest height"),
    (separate.KEEP, "Keep", "Where the scan's origin is"),
]


class _InSteps:
    """An operator that works in steps: with progress and Esc in the window, straight through in scripts."""

    _steps: Iterator[float] | None = None
    _timer: bpy.types.Timer | None = None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not poll_scan(cls, context):
            return False
        if context.mode != "OBJECT":
            cls.poll_message_set("Go to Object Mode first")
            return False
        if not scan_object(context).data.scanpick.objects:
            cls.poll_message_set("There is no object yet: click one out first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        data = scan_object(context).data
        try:
            for _ in self.steps(context):
                pass
        except files.ExportError as error:
            return fail(self, data, str(error))
        return self.finished(context)

    def begin(self, context: bpy.types.Context) -> set[str]:
        self._steps = self.steps(context)
        self._timer = context.window_manager.event_timer_add(0.001, window=context.window)
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self._end(context)
            self.report({"INFO"}, "Cancelled")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        try:
            share = next(self._steps)
        except StopIteration:
            self._end(context)
            return self.finished(context)
        except files.ExportError as error:
            self._end(context)
            return fail(self, scan_object(context).data, str(error))
        context.window_manager.progress_update(share * 100)
        context.workspace.status_text_set(f"Scanpick: {share:.0%}   Esc: Cancel")
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        if self._steps is not None:
            self._steps.close()
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)


class SCANPICK_OT_separate(_InSteps, bpy.types.Operator):
    """Make every object of the list a Blender object of its own, with its faces, UVs, materials and colours"""

    bl_idname = "scanpick.separate"
    bl_label = "Separate to Objects"
    bl_options = {"REGISTER", "UNDO"}

    origin: EnumProperty(name="Origin", items=ORIGINS)
    rest: BoolProperty(name="Rest", description="Make what belongs to no object an object as well", default=True)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.begin(context)

    def steps(self, context: bpy.types.Context) -> Iterator[float]:
        obj = scan_object(context)
        geometry = Geometry(obj)
        parts = separate.parts_of(geometry, self.rest)
        collection = separate.new_collection(context.scene, f"{obj.name} objects")
        self._made = 0
        complete = False
        try:
            for done, (_, piece) in enumerate(separate.separate(geometry, parts, collection, self.origin), 1):
                self._made += piece is not None
                yield done / len(parts)
            complete = True
        finally:
            if not complete:
                separate.discard(collection)

    def finished(self, context: bpy.types.Context) -> set[str]:
        self.report({"INFO"}, f"{self._made} objects were made; the scan is unchanged")
        return {"FINISHED"}


class SCANPICK_OT_export_objects(_InSteps, bpy.types.Operator):
    """Write every object of the list to a file of its own"""

    bl_idname = "scanpick.export_objects"
    bl_label = "Export Objects"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", subtype="DIR_PATH")
    format: EnumProperty(
        name="Format",
        items=[
            ("GLB", "glTF (.glb)", "For games, the web and viewers"),
            ("USD", "USD (.usdc)", "For film pipelines"),
            ("FBX", "FBX (.fbx)", "For game engines"),
            ("OBJ", "OBJ (.obj)", "For everything else"),
            ("PLY", "PLY (.ply)", "For point clouds, with colours and attributes"),
        ],
    )
    pattern: StringProperty(
        name="Names",
        description="File names: {scan}, {object} and {number} are replaced",
        default=files.DEFAULT_PATTERN,
    )
    at_origin: BoolProperty(
        name="At the Origin", description="Stand each object on the origin of its file, instead of where it was scanned"
    )
    rest: BoolProperty(name="Rest", description="Write what belongs to no object as well")
    filter_folder: BoolProperty(default=True, options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        if context.window is not None and not bpy.app.background and self.options.is_invoke:
            return self.begin(context)
        return super().execute(context)

    def steps(self, context: bpy.types.Context) -> Iterator[float]:
        self._files = []
        folder = bpy.path.abspath(self.directory)
        obj = scan_object(context)
        for share, path in files.export_steps(obj, folder, self.format, self.pattern, self.at_origin, self.rest):
            if path is not None:
                self._files.append(path)
            yield share

    def finished(self, context: bpy.types.Context) -> set[str]:
        self.report({"INFO"}, f"{len(self._files)} files were written to {bpy.path.abspath(self.directory)}")
        return {"FINISHED"}


CLASSES = (SCANPICK_OT_separate, SCANPICK_OT_export_objects)
