"""Operators on labels: files of them, attributes of them, and the objects of the list."""

from collections.abc import Iterator
from pathlib import Path

import bpy
from bpy.props import EnumProperty, StringProperty

from ..export import labels as label_files
from ..labels import objects
from ..labels.labels import LabelError, read_archive
from ..scan.geometry import Geometry
from ..server.conversion import Conversion
from ..session.application import find_object
from ..session.session import redraw, session
from .common import poll_object_mode, poll_objects, poll_unstudied, scan_object
from .steps import InSteps

READ_SHARE = 0.8


class SCANPICK_OT_export_labels(InSteps, bpy.types.Operator):
    """Write the scan with the objects as labels, for training, evaluation and other programs"""

    bl_idname = "scanpick.export_labels"
    bl_label = "Export Labels"
    bl_options = {"REGISTER"}

    filepath: StringProperty(name="File", description="Where the labels go", subtype="FILE_PATH", options={"SKIP_SAVE"})
    format: EnumProperty(
        name="Format",
        description="Kind of the file; it decides what of the labels can be kept",
        items=[
            ("PLY", "PLY (.ply)", "The scan with colours and an integer property “instance”"),
            ("NPZ", "numpy (.npz)", "Positions, colours and labels as arrays; holds everything"),
            ("SCANNET", "ScanNet (.aggregation.json)", "Segments and aggregation as in ScanNet, and the mesh"),
            ("KITTI", "SemanticKITTI (.label)", "One number for each point: class and instance"),
        ],
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_objects(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        self.filepath = str(folder / label_files.file_name(scan_object(context).name, self.format, set()))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def check(self, context: bpy.types.Context) -> bool:
        """In the file browser: the ending follows the format."""
        path = str(label_files.with_ending(Path(self.filepath), self.format))
        changed, self.filepath = path != self.filepath, path
        return changed

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        self._path = label_files.with_ending(Path(bpy.path.abspath(self.filepath)), self.format)
        self._remarks = yield from label_files.export_labels(scan_object(context), self._path)

    def finished(self, context: bpy.types.Context) -> set[str]:
        text = f"The labels were written to {self._path}{self._remarks}"
        session.notice(scan_object(context).data.session_uid, "INFO", text + ".")
        self.report({"INFO"}, text)
        return {"FINISHED"}


class _MakesObjects(InSteps):
    """What importing labels and taking them from an attribute share."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_object_mode(cls, context) and poll_unstudied(cls, context)

    def finished(self, context: bpy.types.Context) -> set[str]:
        obj = find_object(self._object)
        text = f"{self._made} objects were made of the labels"
        if self._kept:
            text += f"; {self._kept:,} vertices stay with the objects that had them"
        session.notice(obj.data.session_uid, "INFO", text + ".")
        self.report({"INFO"}, text)
        redraw()
        return {"FINISHED"}

    def make(self, obj: bpy.types.Object, labels: objects.Labels) -> None:
        self._object, self._made = obj.session_uid, len(labels.identities())
        self._kept = objects.make_objects(Geometry(obj), labels)


class SCANPICK_OT_import_labels(_MakesObjects, bpy.types.Operator):
    """Make objects of the labels in a file that belongs to this scan, to go on from there"""

    bl_idname = "scanpick.import_labels"
    bl_label = "Import Labels"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="File", description="The labels of this scan", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: StringProperty(default="*.ply;*.npz;*.aggregation.json;*.label;*.las;*.laz;*.pcd", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        uid, path = scan_object(context).session_uid, Path(bpy.path.abspath(self.filepath))
        with Conversion() as conversion:
            archive = conversion.folder / "labels.npz"
            for share in conversion.run(path, "--out", archive, "--labels-only"):
                yield None if share is None else share * READ_SHARE
            labels, _ = read_archive(archive)
        obj = find_object(uid)
        if obj is None or obj.mode != "OBJECT":
            raise LabelError("The scan was deleted or is being edited: import the labels again in Object Mode.")
        yield READ_SHARE
        self.make(obj, labels)


def attribute_items(operator: bpy.types.Operator | None, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    """The attributes of the active scan that can hold labels, for an enum."""
    obj = scan_object(context)
    names = objects.label_attributes(obj.data, Geometry(obj).claimed) if obj is not None else []
    attribute_items.kept = [(name, name, "Attribute of the vertices") for name in names]  # Blender keeps no reference
    return attribute_items.kept


class SCANPICK_OT_objects_from_labels(_MakesObjects, bpy.types.Operator):
    """Make objects of the labels that came with the scan, an attribute with one number for each vertex"""

    bl_idname = "scanpick.objects_from_labels"
    bl_label = "Objects From Labels"
    bl_options = {"REGISTER", "UNDO"}

    attribute: EnumProperty(name="Attribute", description="Where the labels are", items=attribute_items)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not super().poll(context):
            return False
        obj = scan_object(context)
        if not objects.label_attributes(obj.data, Geometry(obj).claimed):
            cls.poll_message_set("This scan has no attribute with numbers for its vertices")
            return False
        return True

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        obj = scan_object(context)
        try:
            self.make(obj, objects.labels_of_attribute(Geometry(obj), self.attribute))
        except LabelError as error:
            return self._failed(context, error)
        return self.finished(context)


CLASSES = (SCANPICK_OT_export_labels, SCANPICK_OT_import_labels, SCANPICK_OT_objects_from_labels)
