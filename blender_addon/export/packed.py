"""Pictures that are packed into the .blend file, as files for as long as a format is written that names files only."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bpy

from ..scan.textures import images_of
from .names import free_file_name

_ENDINGS = {"JPEG": ".jpg", "TIFF": ".tif", "OPEN_EXR": ".exr", "TARGA": ".tga", "JPEG2000": ".jp2"}


@contextmanager
def as_files(obj: bpy.types.Object, folder: Path) -> Iterator[None]:
    """While the block runs, packed pictures of the object's materials lie in a folder, and stay there."""
    found = {image for image in images_of(obj) if image.packed_file}
    paths = {image: image.filepath_raw for image in found}
    taken: set[str] = set()
    try:
        for image in sorted(found, key=lambda image: image.name):
            image.filepath_raw = _write(image, folder, taken)
        yield
    finally:
        for image, path in paths.items():
            image.filepath_raw = path


def _write(image: bpy.types.Image, folder: Path, taken: set[str]) -> str:
    """The picture's path; one of several tiles has <UDIM> in it."""
    ending = _ENDINGS.get(image.file_format, f".{image.file_format.lower()}")
    stem = free_file_name(image.name.removesuffix(ending), taken)
    name = stem + (".<UDIM>" if image.source == "TILED" else "") + ending
    for file in image.packed_files:
        (folder / name.replace("<UDIM>", str(file.tile_number))).write_bytes(file.packed_file.data)
    return str(folder / name)
