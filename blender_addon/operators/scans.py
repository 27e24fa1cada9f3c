"""Operators that bring scans in: files that Blender cannot read, and the sample."""

from collections.abc import Iterator
from pathlib import Path

import bpy
from bpy.props import FloatProperty, StringProperty

from ..labels.labels import read_archive
from ..scan import files
from ..server.conversion import Conversion
from ..session.session import redraw, session
from ..wire import location
from .common import NO_SCAN
from .steps import InSteps

ENDINGS = (".las", ".laz", ".e57", ".pcd", ".xyz", ".pts", ".txt", ".csv", ".npz")
READ_SHARE = 0.9


class _Import(InSteps):
    """What importing a file and opening the sample share."""

    exclusive = False

    def open_file(self, context: bpy.types.Context, path: Path, thin: float) -> Iterator[float | None]:
        with Conversion() as conversion:
            archive = conversion.folder / "scan.npz"
            options = ["--thin", f"{thin:g}"] if thin > 0 else []
            for share in conversion.run(path, "--out", archive, *options):
                yield None if share is None else share * READ_SHARE
            labels, arrays = read_archive(archive)
        obj = files.add_scan(path.stem, arrays, labels.about() if labels is not None else "")
        if context.mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        files.share_offset(obj, context.scene.objects)
        files.place(obj, context)
        self._name = obj.name
        yield 1.0

    def finished(self, context: bpy.types.Context) -> set[str]:
        obj = bpy.data.objects[self._name]
        text = f"“{obj.name}” has {len(obj.data.vertices):,} vertices"
        offset = files.offset_of(obj)
        if offset.any():
            x, y, z = offset
            text += f"; it was moved to the origin by ({x:,.0f}, {y:,.0f}, {z:,.0f}) m"
            text += ", which Export Labels undoes; exported objects stay there"
        session.notice(NO_SCAN, "INFO", "")
        session.notice(obj.data.session_uid, "INFO", text + ".")
        self.report({"INFO"}, text)
        _frame(context)
        redraw()
        return {"FINISHED"}


class SCANPICK_OT_import_scan(_Import, bpy.types.Operator):
    """Open a scan: LAS, LAZ, E57, PCD, XYZ, PTS and others that Blender does not read itself"""

    bl_idname = "scanpick.import_scan"
    bl_label = "Import Scan"
    bl_options = {"REGISTER", "UNDO"}

    filepath: StringProperty(name="File", description="The scan to open", subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default=";".join(f"*{ending}" for ending in ENDINGS), options={"HIDDEN"})
    thin: FloatProperty(
        name="Thin to (m)",
        description="Keep one vertex in each cube of this size, in metres; 0 keeps all. For scans too large to work in",
        min=0.0,
        soft_max=0.1,
        precision=3,
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if self.filepath:  # dropped into the window
            return self.begin(context)
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        yield from self.open_file(context, Path(bpy.path.abspath(self.filepath)), self.thin)


class SCANPICK_OT_open_sample(_Import, bpy.types.Operator):
    """Open the sample scan that came with Scanpick, a furnished room, to try things out"""

    bl_idname = "scanpick.open_sample"
    bl_label = "Open Sample Scan"
    bl_options = {"REGISTER", "UNDO"}

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return self.begin(context)

    def steps(self, context: bpy.types.Context) -> Iterator[float | None]:
        installation = location.read()
        if installation is None:
            raise files.ScanFileError(
                "The sample scan lies with the inference server, which is not installed for this user: run "
                "'python install.py blender' in the Scanpick folder."
            )
        yield from self.open_file(context, files.sample_scan(installation.folder), 0.0)


def _frame(context: bpy.types.Context) -> None:
    """Show the new scan in the largest 3D viewport, from above and all of it."""
    windows = [] if bpy.app.background or context.window_manager is None else context.window_manager.windows
    areas = [(window, area) for window in windows for area in window.screen.areas if area.type == "VIEW_3D"]
    if areas:
        window, area = max(areas, key=lambda pair: pair[1].width * pair[1].height)
        region = next(region for region in area.regions if region.type == "WINDOW")
        with context.temp_override(window=window, area=area, region=region):
            bpy.ops.view3d.view_selected()


class SCANPICK_FH_scan(bpy.types.FileHandler):
    """Scans dropped into the window."""

    bl_idname = "SCANPICK_FH_scan"
    bl_label = "Scan"
    bl_import_operator = "scanpick.import_scan"
    bl_file_extensions = ";".join(ending for ending in ENDINGS if ending not in (".txt", ".csv", ".npz"))

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        return context.area is not None and context.area.type == "VIEW_3D"


def draw_import(menu: bpy.types.Menu, context: bpy.types.Context) -> None:
    """The line in File > Import."""
    menu.layout.operator("scanpick.import_scan", text="Scan (.las/.laz/.e57/.pcd/.xyz/.pts)")


CLASSES = (SCANPICK_OT_import_scan, SCANPICK_OT_open_sample, SCANPICK_FH_scan)
