"""Objects of a scan as files for the pipeline.

Headless use:  `from bl_ext.user_default.scanpick.export.files import export_objects`
`export_objects(obj, folder, "GLB")` writes every object of the scan `obj` and returns the files.
"""

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy

from ..labels.objects import labels_of_objects
from ..scan.colors import read_colors
from ..scan.geometry import Geometry
from ..scan.textures import images_of
from .names import free_file_name
from .packed import as_files
from .separate import BOTTOM, KEEP, discard, new_collection, parts_of, separate
from .whole import is_whole

DEFAULT_PATTERN = "{object}"


class ExportError(Exception):
    """Files could not be written; the text is one sentence."""


def _glb(path: str) -> None:
    obj = bpy.context.object
    # "MATERIAL": viewers multiply textures by vertex colours, which scans have beside them and not for that
    with tempfile.TemporaryDirectory(prefix="scanpick-") as folder, as_files(obj, Path(folder)):
        bpy.ops.export_scene.gltf(
            filepath=path, export_format="GLB", use_selection=True, use_active_scene=True, use_mesh_vertices=True,
            use_mesh_edges=False, export_attributes=True, export_all_vertex_colors=False,
            export_vertex_color="MATERIAL" if images_of(obj) else "ACTIVE",
        )  # fmt: skip


def _fbx(path: str) -> None:
    with tempfile.TemporaryDirectory(prefix="scanpick-") as folder, as_files(bpy.context.object, Path(folder)):
        bpy.ops.export_scene.fbx(
            filepath=path, use_selection=True, object_types={"MESH"}, colors_type="SRGB",
            path_mode="COPY", embed_textures=True,
        )  # fmt: skip


def _obj(path: str) -> None:
    with as_files(bpy.context.object, Path(path).parent):
        bpy.ops.wm.obj_export(filepath=path, export_selected_objects=True, export_colors=True, path_mode="COPY")


def _ply(path: str) -> None:
    mesh = bpy.context.view_layer.objects.active.data
    for attribute in mesh.attributes:
        if re.search(r"\s", attribute.name):
            attribute.name = re.sub(r"\s", "_", attribute.name)  # a PLY's header ends names at a space
            mesh.update()
    bpy.context.view_layer.update()
    bpy.ops.wm.ply_export(
        filepath=path, export_selected_objects=True, export_colors="SRGB", export_attributes=True, export_uv=True
    )


def _usd(path: str) -> None:
    # the world would be a lamp in every file
    bpy.ops.wm.usd_export(filepath=path, selected_objects_only=True, convert_world_material=False)


FORMATS: dict[str, tuple[str, Callable[[str], None]]] = {
    "GLB": (".glb", _glb),
    "PLY": (".ply", _ply),
    "OBJ": (".obj", _obj),
    "FBX": (".fbx", _fbx),
    "USD": (".usdc", _usd),
}
"""Name of a format -> ending and exporter of the selected objects."""
_COLOURED_POINTS = ("PLY", "OBJ")


def loses_colours(obj: bpy.types.Object, format: str) -> bool:
    """Whether a scan's objects have colours that the format has no place for: of points without faces."""
    data = obj.data
    has_faces = isinstance(data, bpy.types.Mesh) and len(data.polygons) > 0
    return format not in _COLOURED_POINTS and not has_faces and read_colors(data).values is not None


def file_name(pattern: str, scan: str, name: str, number: int, taken: set[str]) -> str:
    """A file name that every system takes, not among `taken` (lower case; the new one is added).

    Raises ExportError for a pattern with anything but {scan}, {object} and {number} in braces.
    """
    try:
        text = pattern.format(scan=scan, object=name, number=number)
    except (KeyError, ValueError, IndexError, AttributeError) as error:
        raise ExportError(
            f"The naming pattern “{pattern}” is not one: use {{scan}}, {{object}} and {{number}}."
        ) from error
    return free_file_name(text, taken)


def export_objects(
    obj: bpy.types.Object,
    folder: str | Path,
    format: str,
    pattern: str = DEFAULT_PATTERN,
    at_origin: bool = False,
    rest: bool = False,
    taken: set[str] | None = None,
) -> list[Path]:
    """Write every object of the scan `obj` to a file of its own; empty objects are passed over.

    Args:
        format: GLB, PLY, OBJ, FBX or USD.
        pattern: file name without ending; {scan}, {object} and {number} are replaced.
        at_origin: place each object with its bottom centre at the origin of its file, else where it is in the scan.
        rest: write what belongs to no object as well.
        taken: file names, lower case without ending, that are not to be used; those of this scan are added.
    Raises:
        ExportError with a sentence; files written before stay.
    """
    written = []
    for step in export_steps(obj, folder, format, pattern, at_origin, rest, taken):
        if step is not None and step[1] is not None:
            written.append(step[1])
    return written


def export_steps(
    obj: bpy.types.Object,
    folder: str | Path,
    format: str,
    pattern: str,
    at_origin: bool,
    rest: bool,
    taken: set[str] | None = None,
) -> Iterator[tuple[float, Path | None] | None]:
    """`export_objects` in steps: yields the share that is done and the step's file or None; None while it reads."""
    if obj.mode != "OBJECT":
        raise ExportError("Go to Object Mode to export.")
    ending, write = FORMATS[format]
    folder = Path(folder)
    geometry = Geometry(obj)
    labels = yield from labels_of_objects(geometry)
    parts = parts_of(geometry, labels, rest)
    if not parts:
        raise ExportError("There is no object to export: click one out first.")
    taken = set() if taken is None else taken
    names = {p.number: file_name(pattern, obj.name, p.name, p.number, taken) for p in parts}
    view_layer = bpy.context.view_layer
    selected, active = _selected(view_layer), view_layer.objects.active
    collection = new_collection(bpy.context.scene, "Scanpick export")
    try:
        with scratch_in(folder) as scratch:
            done = 0
            for made in separate(geometry, labels, parts, collection, BOTTOM if at_origin else KEEP):
                if made is None:
                    yield None
                    continue
                part, piece = made
                done += 1
                path = None
                if piece is not None:
                    if at_origin:
                        piece.location = (0.0, 0.0, 0.0)
                    path = folder / (names[part.number] + ending)
                    _write_one(piece, view_layer, write, path, scratch, part.name)
                    mesh = piece.data
                    bpy.data.objects.remove(piece)
                    bpy.data.meshes.remove(mesh)
                yield done / len(parts), path
    finally:
        discard(collection)
        _select_only(view_layer, selected)
        view_layer.objects.active = active


def _selected(view_layer: bpy.types.ViewLayer) -> list[bpy.types.Object]:
    """Hidden objects as well, which most exporters would write."""
    view_layer.update()  # it may still list objects that are gone
    return [obj for obj in view_layer.objects if obj.select_get(view_layer=view_layer)]


def _select_only(view_layer: bpy.types.ViewLayer, objects: list[bpy.types.Object]) -> None:
    for other in _selected(view_layer):
        other.select_set(False)
    for obj in objects:
        obj.select_set(True)


@contextmanager
def scratch_in(folder: Path) -> Iterator[Path]:
    """A folder for files that are not whole yet, on the same disk; gone afterwards. Raises ExportError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".scanpick-", dir=folder, ignore_cleanup_errors=True)
    except OSError as error:
        raise ExportError(f"The folder {folder} cannot be written to ({error.strerror}): choose another.") from error
    with scratch:
        yield Path(scratch.name)


def _write_one(
    piece: bpy.types.Object,
    view_layer: bpy.types.ViewLayer,
    write: Callable[[str], None],
    path: Path,
    scratch: Path,
    name: str,
) -> None:
    """Write a file with what belongs to it (materials, textures) in `scratch`, then move all of it to its place."""
    _select_only(view_layer, [piece])
    view_layer.objects.active = piece
    view_layer.update()
    try:
        write(str(scratch / path.name))
        if not is_whole(scratch / path.name, piece.data):
            raise OSError(None, "it is only half there")
        for file in sorted(scratch.rglob("*")):
            if file.is_file():
                target = path.parent / file.relative_to(scratch)
                target.parent.mkdir(exist_ok=True)
                file.replace(target)
    except AttributeError as error:
        words = f"This Blender was built without what writes {path.suffix} files: choose another format."
        raise ExportError(words) from error
    except (RuntimeError, OSError) as error:
        said = re.search(r"\[Errno \d+\] ([^:\n]+)", str(error))
        reason = getattr(error, "strerror", None) or (said[1] if said else "Blender's exporter gave up")
        raise ExportError(
            f"“{name}” could not be written to {path.parent} ({reason}): is the folder writable, and the disk not full?"
        ) from error
