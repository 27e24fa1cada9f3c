"""Scans as Blender objects, from archives that the server environment wrote; georeferenced ones with their offset."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import bpy
import numpy as np

from .geometry import IMPORTED, INSTANCE, LABEL_NAMES, SEMANTIC, Geometry, coordinates

OFFSET = "scanpick_offset"
"""Custom property of the object: three float64 metres that are added again at export."""

COLORS = "Col"
FAR = 1e4
"""Metres beyond which float32 is coarser than a millimetre."""


class ScanFileError(Exception):
    """A scan's file could not be opened; the text is one sentence."""


def add_scan(name: str, arrays: dict[str, np.ndarray], about: str) -> bpy.types.Object:
    """A new mesh object without faces from an archive's arrays, not linked to any collection yet.

    Labels become the attribute `instance.imported`, so that the artist's objects can be told from them.

    Args:
        arrays: positions float32 (N, 3), offset float64 (3,); colors uint8 (N, 3), instance and semantic int32 (N,).
        about: names and colours of the labels, as JSON.
    """
    positions = arrays["positions"]
    mesh = bpy.data.meshes.new(name)
    mesh.vertices.add(len(positions))
    mesh.attributes["position"].data.foreach_set("vector", np.ascontiguousarray(positions, dtype=np.float32).ravel())
    if "colors" in arrays:
        colors = np.full((len(positions), 4), 255, dtype=np.float32)
        colors[:, :3] = arrays["colors"]
        layer = mesh.color_attributes.new(COLORS, "BYTE_COLOR", "POINT")
        layer.data.foreach_set("color_srgb", (colors / 255).ravel())
        mesh.color_attributes.active_color = layer
    for key, attribute in (("instance", INSTANCE + IMPORTED), ("semantic", SEMANTIC)):
        if key in arrays:
            values = np.ascontiguousarray(arrays[key], dtype=np.int32)
            mesh.attributes.new(attribute, "INT", "POINT").data.foreach_set("value", values)
    if "instance" in arrays:
        mesh[LABEL_NAMES] = about
    mesh.update()
    obj = bpy.data.objects.new(name, mesh)
    set_offset(obj, arrays["offset"])
    return obj


def offset_of(obj: bpy.types.Object) -> np.ndarray:
    """float64 (3,): what to add to the object's place in the world for the coordinates of its file."""
    try:
        offset = np.array(list(obj.get(OFFSET, ())), dtype=np.float64)
    except (TypeError, ValueError):
        return np.zeros(3)
    return offset if offset.shape == (3,) and np.isfinite(offset).all() else np.zeros(3)


def set_offset(obj: bpy.types.Object, offset: Sequence[float]) -> None:
    """Keep an offset on the object, as doubles; none where it is zero."""
    if any(offset):
        obj[OFFSET] = [float(metres) for metres in offset]
    elif OFFSET in obj:
        del obj[OFFSET]


def share_offset(obj: bpy.types.Object, others: Iterable[bpy.types.Object]) -> None:
    """Put a new scan beside one of the same survey as their files have it: it takes the other's offset where the two
    are less than FAR apart, and a place of its own."""
    own = offset_of(obj)
    for other in others:
        offset = offset_of(other)
        if own.any() and offset.any() and np.abs(own - offset).max() <= FAR:
            obj.location = own - offset
            set_offset(obj, offset)
            return


def file_positions(geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 3) float32 in the world, and the float64 offset (3,) to be added for those of the scan's file."""
    world = np.array(geometry.obj.matrix_world, dtype=np.float64)
    positions, offset, moved = coordinates(geometry.data), offset_of(geometry.obj), world[:3, 3].copy()
    if offset.any() or np.abs(moved).max() > FAR:
        offset, moved = offset + moved, np.zeros(3)
    if not (np.array_equal(world[:3, :3], np.eye(3)) and not moved.any()):
        positions = (positions.astype(np.float64) @ world[:3, :3].T + moved).astype(np.float32)
    return positions, offset


def place(obj: bpy.types.Object, context: bpy.types.Context) -> None:
    """Link a new object where the artist works and make it the active, only selected one."""
    try:
        context.collection.objects.link(obj)
    except RuntimeError:  # a collection of another file
        context.scene.collection.objects.link(obj)
    for other in context.selected_objects:
        other.select_set(False)
    context.view_layer.objects.active = obj
    obj.select_set(True)


def sample_scan(installation_folder: str) -> Path:
    """The sample scan of the server's installation. Raises ScanFileError where it is not there."""
    path = Path(installation_folder) / "inference_server" / "demo" / "sample_room.ply"
    if not path.is_file():
        raise ScanFileError(
            f"The sample scan is not in the server's folder any more ({path}): open a scan of your own with File > "
            "Import, or run 'python install.py blender' in a whole Scanpick folder."
        )
    return path
