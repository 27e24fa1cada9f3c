"""The scan with its objects as labels, in the formats of researchers."""

from collections.abc import Generator
from pathlib import Path

import bpy
import numpy as np

from ..labels.labels import Labels, write_archive
from ..labels.objects import labels_of_objects
from ..scan import colors, files
from ..scan.geometry import Geometry, triangles_of
from ..server.conversion import Conversion
from .files import ExportError, scratch_in
from .names import free_file_name

ENDINGS = {"PLY": ".ply", "NPZ": ".npz", "SCANNET": ".aggregation.json", "KITTI": ".label"}
ONE_LABEL = ("PLY", "KITTI")
"""Formats where a vertex has one label only."""


def format_of(path: Path) -> str | None:
    """The format that a file's ending names."""
    return next((name for name, ending in ENDINGS.items() if path.name.lower().endswith(ending)), None)


def with_ending(path: Path, format: str) -> Path:
    """The path with the ending of the format, in place of that of another."""
    stem = path.name
    known = format_of(path)
    if known is not None:
        stem = stem[: -len(ENDINGS[known])]
    return path.with_name((stem or "labels") + ENDINGS[format])


def file_name(scan: str, format: str, taken: set[str]) -> str:
    """A file name for the labels of a scan, its stem not among `taken` (lower case; the new one is added)."""
    return free_file_name(scan, taken) + ENDINGS[format]


def export_labels(obj: bpy.types.Object, path: Path) -> Generator[float | None, None, str]:
    """Write the scan and its labels in steps, in the format of the ending: yields the share that is done, or None.

    Returns what the format could not hold, as the rest of a sentence. Nothing is left where it fails; what lay at
    `path` before then lies there still. Raises ExportError, ConversionError.
    """
    geometry = Geometry(obj)
    labels = yield from labels_of_objects(geometry)
    positions, offset = files.file_positions(geometry)
    arrays = {
        "positions": positions,
        "offset": offset,
        "colors": colors.read_colors(geometry.data, geometry.materials).values,
        "faces": triangles_of(geometry.data),
    }
    yield 0.3
    if format_of(path) == "NPZ":
        _write(path, labels, arrays)
    else:
        with Conversion() as conversion:
            archive = conversion.folder / "scan.npz"
            try:
                write_archive(archive, labels, **arrays)
            except OSError as error:
                raise ExportError(f"There is no room for a temporary copy ({error.strerror}): free some.") from error
            for share in conversion.run(archive, "--out", path):
                yield None if share is None else 0.3 + 0.7 * share
    shared = len(np.unique(labels.overlaps[:, 0]))
    if shared and format_of(path) in ONE_LABEL:
        return f"; {shared:,} vertices of several objects have the upper one's label, which is all this format holds"
    return ""


def _write(path: Path, labels: Labels, arrays: dict[str, np.ndarray]) -> None:
    with scratch_in(path.parent) as scratch:
        try:
            write_archive(scratch / path.name, labels, **arrays)
            (scratch / path.name).replace(path)
        except OSError as error:
            raise ExportError(
                f"{path} could not be written ({error.strerror}): is the folder writable, and the disk not full?"
            ) from error
