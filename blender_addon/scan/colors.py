"""Colours of the vertices as the eye sees them: of a colour attribute, else of the material's texture, else none."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from . import textures
from .blocks import blocks
from .encoding import linear_to_srgb

KEPT = 4

_textured: list[tuple[tuple, "VertexColors"]] = []
"""Colours from textures, and a mark of all that they were made of: an undo changes neither, and looking at a large
texture takes half a second."""


@dataclass(eq=False)
class VertexColors:
    """`values` uint8 (N, 3) sRGB or None, and where they come from, in words for the panel.

    pictures: marks of the pictures that were looked for, None where there was no need to; others may look the same.
    """

    values: np.ndarray | None
    source: str
    pictures: tuple | None = None


def read_colors(
    data: bpy.types.Mesh | bpy.types.PointCloud,
    materials: Sequence[bpy.types.Material | None] = (),
    tell: Callable[[float], None] = lambda share: None,
) -> VertexColors:
    """Colours of a mesh or point cloud that is not being edited.

    Args:
        materials: of its faces, by slot; their pictures are looked at where there is no colour attribute.
        tell: called with the share of a colour attribute that is done.
    """
    attribute = _color_attribute(data)
    if attribute is not None:
        values = _attribute_colors(data, attribute, tell)
        if values is not None and any((values[block] != values[0]).any() for block in blocks(len(values))):
            return VertexColors(values, f"colour attribute “{attribute.name}”")
    pictures = _pictures(materials)
    marks = _marks(pictures)
    textured = _texture_colors(data, pictures, marks) if isinstance(data, bpy.types.Mesh) else None
    return textured or VertexColors(None, "none: only the shape is used", marks)


def pictures_changed(known: VertexColors, materials: Sequence[bpy.types.Material | None]) -> bool:
    """Whether pictures may be others now, which no change of the mesh tells."""
    return known.pictures is not None and known.pictures != _marks(_pictures(materials))


def _pictures(materials: Sequence[bpy.types.Material | None]) -> list[textures.Picture | None]:
    return [textures.picture_of(material) for material in materials]


def _marks(pictures: Sequence[textures.Picture | None]) -> tuple:
    return tuple(picture and (textures.mark(picture.image), picture.uv_map) for picture in pictures)


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


def _texture_colors(
    mesh: bpy.types.Mesh, by_slot: Sequence[textures.Picture | None], marks: tuple
) -> VertexColors | None:
    rendered = next((uv for uv in mesh.uv_layers if uv.active_render), mesh.uv_layers.active)
    pictures = {slot: picture for slot, picture in enumerate(by_slot) if picture is not None}
    if rendered is None or not len(mesh.polygons) or not pictures:
        return None
    layers = {slot: mesh.uv_layers.get(picture.uv_map) or rendered for slot, picture in pictures.items()}
    uvs = {layer.name: _uv(layer) for layer in layers.values()}
    slots = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("material_index", slots)
    sizes = np.empty(len(mesh.polygons), dtype=np.int32)
    mesh.polygons.foreach_get("loop_total", sizes)
    arrays = tuple(zlib.crc32(array) for array in (*uvs.values(), slots, sizes, _corner_vertices(mesh)))
    mark = (len(mesh.vertices), arrays, marks)
    known = next((colors for kept, colors in _textured if kept == mark), None)
    if known is None:
        faces = _Faces(slots, sizes)
        corners = np.full((len(mesh.loops), 3), 128, dtype=np.uint8)
        read = [slot for slot in pictures if faces.paint(corners, slot, pictures[slot].image, uvs[layers[slot].name])]
        names = list(dict.fromkeys(pictures[slot].image.name for slot in read))
        if not names:
            return None
        source = f"texture “{names[0]}”" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        known = VertexColors(_corners_to_vertices(mesh, corners), source, marks)
        _textured.insert(0, (mark, known))
        del _textured[KEPT:]
    return known


def _uv(layer: bpy.types.MeshUVLoopLayer) -> np.ndarray:
    """float32 (L, 2) of the corners."""
    uv = np.empty(len(layer.uv) * 2, dtype=np.float32)
    layer.uv.foreach_get("vector", uv)
    return np.nan_to_num(uv).reshape(-1, 2)


class _Faces:
    """Faces with material slots (F,) and numbers of corners (F,)."""

    def __init__(self, slots: np.ndarray, sizes: np.ndarray):
        self._sizes = sizes
        self._corner_slots = np.repeat(slots, sizes)

    def paint(self, corners: np.ndarray, slot: int, image: bpy.types.Image, uv: np.ndarray) -> bool:
        """Give the corners (L, 3) of a slot's faces the image's colours at the places uv (L, 2); whether it can be
        read at all."""
        of_slot = np.flatnonzero(self._corner_slots == slot)
        tiles = textures.tiles(image)
        in_tile = None if tiles == [None] else self._tiles(uv)[of_slot]
        seen = False
        for tile in tiles:
            mine = of_slot if tile is None else of_slot[(in_tile == textures.place(tile)).all(1)]
            pixels = textures.pixels(image, tile) if len(mine) else None
            if pixels is None:
                continue
            height, width = pixels.shape[:2]
            inside = uv[mine] % 1.0 if tile is None else uv[mine] - textures.place(tile)
            x, y = np.floor(inside * (width, height)).astype(np.int64).T
            corners[mine] = pixels[y.clip(0, height - 1), x.clip(0, width - 1)]
            seen = True
        return seen

    def _tiles(self, uv: np.ndarray) -> np.ndarray:
        """(L, 2) columns and rows: a face's corners may lie on the border of the tile that it is in."""
        middles = np.add.reduceat(uv, np.cumsum(self._sizes) - self._sizes) / self._sizes[:, None]
        return np.repeat(np.floor(middles).clip(-1, 1000).astype(np.int64), self._sizes, axis=0)
