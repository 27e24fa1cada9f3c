"""Export without a window: `blender --command scanpick_export FILE.blend --out FOLDER`, for pipelines."""

import argparse
import sys
from pathlib import Path

import bpy

from .export import files, labels
from .labels.labels import LabelError
from .scan.geometry import SCAN_TYPES
from .server.conversion import ConversionError, wait

NAME = "scanpick_export"


def run(arguments: list[str]) -> int:
    """The command; returns its exit code: 0, or 2 after a sentence on stderr."""
    parser = argparse.ArgumentParser(
        prog=f"blender --command {NAME}", description="Write the objects of the scans in a .blend file to files."
    )
    parser.add_argument("file", type=Path, help="the .blend file")
    parser.add_argument("--out", type=Path, required=True, help="folder for the files, made where it is missing")
    parser.add_argument("--format", choices=list(files.FORMATS), default="GLB", help="format of the objects (GLB)")
    parser.add_argument(
        "--pattern", default=files.DEFAULT_PATTERN, help="file names: {scan}, {object} and {number} are replaced"
    )
    parser.add_argument("--at-origin", action="store_true", help="stand each object on the origin of its file")
    parser.add_argument("--rest", action="store_true", help="write what belongs to no object as well")
    parser.add_argument("--labels", choices=list(labels.ENDINGS), help="write the scan with labels instead")
    parser.add_argument("--scan", help="name of the scan, where the file has several and not all are wanted")
    options = parser.parse_args(arguments)
    try:
        written = _export(options)
    except (files.ExportError, ConversionError, LabelError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


def _export(options: argparse.Namespace) -> list[Path]:
    try:
        bpy.ops.wm.open_mainfile(filepath=str(options.file))
    except RuntimeError as error:
        raise files.ExportError(f"{options.file} could not be opened: is it a .blend file?") from error
    scans = [obj for obj in bpy.data.objects if obj.type in SCAN_TYPES and len(obj.data.scanpick.objects)]
    if options.scan is not None:
        scans = [obj for obj in scans if obj.name == options.scan]
    if not scans:
        what = f"no scan “{options.scan}” with objects" if options.scan is not None else "no scan with objects"
        raise files.ExportError(f"There is {what} in {options.file}.")
    written: list[Path] = []
    taken: set[str] = set()
    for obj in scans:
        _show(obj)
        if obj.mode != "OBJECT":
            with bpy.context.temp_override(object=obj, active_object=obj):
                bpy.ops.object.mode_set(mode="OBJECT")
        if options.labels is not None:
            path = options.out / labels.file_name(obj.name, options.labels, taken)
            wait(labels.export_labels(obj, path))
            written.append(path)
        else:
            written += files.export_objects(
                obj, options.out, options.format, options.pattern, options.at_origin, options.rest, taken
            )
    return written


def _show(obj: bpy.types.Object) -> None:
    """Blender works out the place of what it shows only; the file itself is not saved."""
    collection = bpy.context.scene.collection
    if obj.name not in collection.objects:
        collection.objects.link(obj)
    obj.hide_viewport = False
    bpy.context.view_layer.update()


_command = None


def register() -> None:
    global _command
    _command = bpy.utils.register_cli_command(NAME, run)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_command)
