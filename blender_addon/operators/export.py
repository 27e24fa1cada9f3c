"""Operators that bring objects out of the scan: as Blender objects and as files."""

from collections.abc import Iterator
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ..export import files, separate
from ..labels.objects import labels_of_objects
from ..scan.geometry import Geometry
from .common import poll_objects, scan_object
from .steps import InSteps

ORIGINS = [
    (separate.BOTTOM, "Bottom Centre", "Under the middle of each object, at its lowest height"),
    (separate.KEEP, "Keep", "Where the scan's origin is"),
]


class _WithObjects(InSteps):
    """An operator on the objects of the list, in Object Mode."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_objects(cls, context)


class SCANPICK_OT_separate(_WithObjects, bpy.types.Operator):
    """Make every object of the list a Blender object of its own, with its faces, UVs, materials and colours"""

    bl_idname = "scanpick.separate"
    bl_label = "Separate to Objects"
    bl_options = {"REGISTER", "UNDO"}

    origin: EnumProperty(name="Origin", description="Where the origins of the new objects are", items=ORIGINS)
    rest: BoolProperty(name="Rest", description="Make what belongs to no object an object as well", default=True)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.begin(context)

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        obj = scan_object(context)
        geometry = Geometry(obj)
        labels = yield from labels_of_objects(geometry)
        parts = separate.parts_of(geometry, labels, self.rest)
        collection = separate.new_collection(context.scene, f"{obj.name} objects")
        self._made = 0
        complete = False
        try:
            done = 0
            for made in separate.separate(geometry, labels, parts, collection, self.origin):
                if made is not None:
                    done += 1
                    self._made += made[1] is not None
                yield done / len(parts)
            complete = True
        finally:
            if not complete:
                separate.discard(collection)

    def finished(self, context: bpy.types.Context) -> set[str]:
        self.report({"INFO"}, f"{self._made} objects were made where they lie in the scan: hide it (H) to see them")
        return {"FINISHED"}


class SCANPICK_OT_export_objects(_WithObjects, bpy.types.Operator):
    """Write every object of the list to a file of its own"""

    bl_idname = "scanpick.export_objects"
    bl_label = "Export Objects"
    bl_options = {"REGISTER"}

    directory: StringProperty(name="Folder", description="Where the files go", subtype="DIR_PATH")
    format: EnumProperty(
        name="Format",
        description="Kind of the files, one for each object",
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

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        self._files = []
        folder = bpy.path.abspath(self.directory)
        self._older = {path.name for path in Path(folder).glob("*")}
        obj = scan_object(context)
        share = 0.0
        for step in files.export_steps(obj, folder, self.format, self.pattern, self.at_origin, self.rest):
            if step is not None:
                share = step[0]
                self._files += [step[1]] if step[1] is not None else []
            yield share

    def finished(self, context: bpy.types.Context) -> set[str]:
        text = f"{len(self._files)} files were written to {bpy.path.abspath(self.directory)}"
        replaced = sum(path.name in self._older for path in self._files)
        if replaced:
            text += f", {replaced} of them over older ones"
        if files.loses_colours(scan_object(context), self.format):
            self.report({"WARNING"}, f"{text}, without colours: points that have no faces keep theirs in PLY and OBJ")
        else:
            self.report({"INFO"}, text)
        return {"FINISHED"}


CLASSES = (SCANPICK_OT_separate, SCANPICK_OT_export_objects)
