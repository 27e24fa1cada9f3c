"""Colours of the vertices as the eye sees them: of a colour attribute, else of the material's texture, else none."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import bpy
import numpy as np

from . import textures
from .blocks import blocks
from .encoding import linear_to_srgb

KEPT = 4

_textured: list[tuple[tuple, "VertexColors | None"]] = []
"""Colours from textures, and a mark of all that they were made of: an undo changes neither, and looking at a large
texture takes half a second."""


@dataclass(frozen=True)
class VertexColors:
    """`values` uint8 (N, 3) sRGB or None, and where they come from, in words for the panel."""

    values: np.ndarray | None
    source: str


def read_colors(
    data: bpy.types.Mesh | bpy.types.PointCloud,
    textures: bool = True,
    tell: Callable[[float], None] = lambda share: None,
) -> VertexColors:
    """Colours of a mesh or point cloud that is not being edited.

    Args:
        textures: whether to look at materials too.
        tell: called with the share of a colour attribute that is done.
    """
    attribute = _color_attribute(data)
    if attribute is not None:
        values = _attribute_colors(data, attribute, tell)
        if values is not None and any((values[block] != values[0]).any() for block in blocks(len(values))):
            return VertexColors(values, f"colour attribute “{attribute.name}”")
    if textures and isinstance(data, bpy.types.Mesh):
        textured = _texture_colors(data)
        if textured is not None:
            return textured
    return VertexColors(None, "none: only the shape is used")


def _color_attribute(data: bpy.types.Mesh | bpy.types.PointCloud) -> bpy.types.Attribute | None:
    if isinstance(data, bpy.types.Mesh):
        return data.color_attributes.active_color or next(iter(data.color_attributes), None)
    colors = [a for a in data.attributes if a.data_type in ("FLOAT_COLOR", "BYTE_COLOR")]
    return next((a for a in colors if a.name in ("Col", "Color", "color")), colors[0] if colors else None)


def _bytes(shares: np.ndarray) -> np.ndarray:
    """uint8 of bytes divided by 255, which are overwritten: that is several times faster."""
    shares *= 255
    shares += 0.5
    return shares.astype(np.uint8)


def _attribute_colors(
    data: bpy.types.Mesh | bpy.types.PointCloud, attribute: bpy.types.Attribute, tell: Callable[[float], None]
) -> np.ndarray | None:
    count = len(attribute.data)
    if not count:
        return None
    encoded = attribute.data_type == "BYTE_COLOR"
    flat = np.empty(count * 4, dtype=np.float32)
    attribute.data.foreach_get("color_srgb" if encoded else "color", flat)
    channels = flat.reshape(-1, 4)
    values = np.empty((count, 3), dtype=np.uint8)
    for block in blocks(count, tell):
        part = channels[block]
        values[block] = _bytes(part)[:, :3] if encoded else linear_to_srgb(part[:, :3])
    return _corners_to_vertices(data, values) if attribute.domain == "CORNER" else values


def _corner_vertices(mesh: bpy.types.Mesh) -> np.ndarray:
    vertices = np.empty(len(mesh.loops), dtype=np.int32)
    mesh.loops.foreach_get("vertex_index", vertices)
    return vertices


def _corners_to_vertices(mesh: bpy.types.Mesh, values: np.ndarray) -> np.ndarray:
    """Mean over the corners of each vertex; grey where a vertex has no face."""
    vertices = _corner_vertices(mesh)
    count = len(mesh.vertices)
    corners = np.bincount(vertices, minlength=count)
    sums = [np.bincount(vertices, weights=values[:, c], minlength=count) for c in range(3)]
    means = np.stack(sums, axis=1) / np.maximum(corners, 1)[:, None]
    means[corners == 0] = 128
    return np.round(means).astype(np.uint8)


def _texture_colors(mesh: bpy.types.Mesh) -> VertexColors | None:
    layer = next((uv for uv in mesh.uv_layers if uv.active_render), mesh.uv_layers.active)
    if layer is None or not len(mesh.polygons):
        return None
    images = {slot: textures.base_color_image(material) for slot, material in enumerate(mesh.materials)}
    if not any(images.values()):
        return None
    uv = np.empty(len(mesh.loops) * 2, dtype=np.float32)
    layer.uv.foreach_get("vector", uv)
    slots = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", slots)
    sizes = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("loop_total", sizes)
    vertices = _corner_vertices(mesh)
    arrays = tuple(zlib.crc32(array) for array in (uv, slots, sizes, vertices))
    mark = (len(mesh.vertices), arrays, tuple(image and textures.mark(image) for image in images.values()))
    known = next((colors for kept, colors in _textured if kept == mark), None)
    if known is None:
        known = _sampled(mesh, images, uv.reshape(-1, 2), slots, sizes)
        _textured.insert(0, (mark, known))
        del _textured[KEPT:]
    return known


def _sampled(
    mesh: bpy.types.Mesh,
    images: dict[int, bpy.types.Image | None],
    uv: np.ndarray,
    slots: np.ndarray,
    sizes: np.ndarray,
) -> VertexColors | None:
    """Colours of the images, by material slot, at the places uv (L, 2) of the corners of faces (F,) of some sizes."""
    corners = np.full((len(uv), 3), 128, dtype=np.uint8)
    uv = np.nan_to_num(uv)
    corner_slots = np.repeat(slots, sizes)
    # a face's corners may lie on the border of the tile that it is in
    middles = np.add.reduceat(uv, np.cumsum(sizes) - sizes) / sizes[:, None]
    in_tile = np.repeat(np.floor(middles).clip(-1, 1000).astype(np.int64), sizes, axis=0)
    names = []
    for slot, image in images.items():
        of_slot = np.flatnonzero(corner_slots == slot)
        for tile in textures.tiles(image) if image is not None else ():
            mine = of_slot if tile is None else of_slot[(in_tile[of_slot] == textures.place(tile)).all(1)]
            pixels = textures.pixels(image, tile) if len(mine) else None
            if pixels is None:
                continue
            height, width = pixels.shape[:2]
            inside = uv[mine] % 1.0 if tile is None else uv[mine] - textures.place(tile)
            x, y = np.floor(inside * (width, height)).astype(np.int64).T
            corners[mine] = pixels[y.clip(0, height - 1), x.clip(0, width - 1)]
            names.append(image.name)
    names = list(dict.fromkeys(names))
    if not names:
        return None
    source = f"texture “{names[0]}”" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    return VertexColors(_corners_to_vertices(mesh, corners), source)
