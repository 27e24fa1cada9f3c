"""Whether a file is whole: on a full disk, Blender's writers of OBJ, PLY and USD leave half of one and say nothing."""

import re
import struct
from collections.abc import Callable
from pathlib import Path

import bpy


def is_whole(path: Path, mesh: bpy.types.Mesh) -> bool:
    """Whether the file that was written of `mesh` is as long as its own contents say."""
    check = _CHECKS.get(path.suffix)
    try:
        return path.stat().st_size > 0 and (check is None or check(path, mesh))
    except (OSError, ValueError, KeyError, struct.error):
        return False


def _glb(path: Path, mesh: bpy.types.Mesh) -> bool:
    with path.open("rb") as file:
        return struct.unpack("<8xI", file.read(12))[0] == path.stat().st_size


def _ply(path: Path, mesh: bpy.types.Mesh) -> bool:
    with path.open("rb") as file:
        head = file.read(8192)
    end = head.index(b"end_header\n") + len(b"end_header\n")
    sizes = {"float": 4, "uchar": 1, "int": 4, "uint": 4, "double": 8, "char": 1, "short": 2, "ushort": 2}
    expected = end
    for element in head[:end].decode("utf-8", "replace").split("element ")[1:]:
        name, count = element.split()[:2]
        row = sum(sizes[kind] for kind in re.findall(r"property (\w+) \S+\n", element))
        lists = len(mesh.loops) * 4 + int(count) if name == "face" else 0
        expected += int(count) * row + lists
    return expected == path.stat().st_size


def _obj(path: Path, mesh: bpy.types.Mesh) -> bool:
    content = path.read_bytes()
    vertices, faces = content.count(b"\nv "), content.count(b"\nf ")
    return content.endswith(b"\n") and vertices == len(mesh.vertices) and faces == len(mesh.polygons)


def _usd(path: Path, mesh: bpy.types.Mesh) -> bool:
    # a crate file: "PXR-USDC", version, the place of the table of contents, which comes last
    with path.open("rb") as file:
        (place,) = struct.unpack("<16xq", file.read(24))
        file.seek(place)
        (sections,) = struct.unpack("<Q", file.read(8))
    return place + 8 + sections * 32 == path.stat().st_size


_CHECKS: dict[str, Callable[[Path, bpy.types.Mesh], bool]] = {
    ".glb": _glb,
    ".ply": _ply,
    ".obj": _obj,
    ".usdc": _usd,
}
