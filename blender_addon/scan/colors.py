"""Colours of the vertices as the eye sees them: of a colour attribute, else of the material's texture, else none."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from .blocks import blocks

MAX_TEXTURE = 2048
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


def linear_to_srgb(linear: np.ndarray) -> np.ndarray:
    """sRGB uint8 of linear floats (IEC 61966-2-1), clipped to what a byte holds."""
    clipped = np.clip(np.nan_to_num(linear), 0.0, 1.0)
    encoded = np.where(clipped <= 0.0031308, clipped * 12.92, 1.055 * np.power(clipped, 1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


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


def base_color_image(material: bpy.types.Material | None) -> bpy.types.Image | None:
    """The image behind the Base Color of the material's Principled BSDF, or its only image."""
    if material is None or material.node_tree is None:
        return None
    images = [n for n in material.node_tree.nodes if n.type == "TEX_IMAGE" and n.image is not None]
    for shader in (n for n in material.node_tree.nodes if n.type in ("BSDF_PRINCIPLED", "EMISSION", "BSDF_DIFFUSE")):
        socket = shader.inputs.get("Base Color") or shader.inputs.get("Color")
        seen = set()
        while socket is not None and socket.is_linked:
            node = socket.links[0].from_node
            if node.type == "TEX_IMAGE" and node.image is not None:
                return node.image
            if node in seen:
                break
            seen.add(node)
            socket = next((s for s in node.inputs if s.is_linked), None)
    return images[0].image if len(images) == 1 else None


def _pixels(image: bpy.types.Image) -> np.ndarray | None:
    """uint8 (H, W, 3) sRGB, at most 2048 wide, or None where the image cannot be read."""
    small = None
    try:
        if not image.has_data:
            image.update()
        width, height = image.size
        if not width or not height:
            return None
        if max(width, height) > MAX_TEXTURE:
            small = image.copy()
            scale = MAX_TEXTURE / max(width, height)
            small.scale(max(1, int(width * scale)), max(1, int(height * scale)))
            image = small
            width, height = image.size
        flat = np.empty(width * height * image.channels, dtype=np.float32)
        image.pixels.foreach_get(flat)
        pixels = flat.reshape(height, width, image.channels)
        pixels = pixels[:, :, :3] if image.channels >= 3 else np.repeat(pixels[:, :, :1], 3, axis=2)
        return linear_to_srgb(pixels) if image.is_float else np.round(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    except RuntimeError:
        return None
    finally:
        if small is not None:
            bpy.data.images.remove(small)


def _texture_colors(mesh: bpy.types.Mesh) -> VertexColors | None:
    layer = next((uv for uv in mesh.uv_layers if uv.active_render), mesh.uv_layers.active)
    if layer is None or not len(mesh.polygons):
        return None
    images = {slot: base_color_image(material) for slot, material in enumerate(mesh.materials)}
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
    mark = (len(mesh.vertices), arrays, tuple(image and _mark(image) for image in images.values()))
    known = next((colors for kept, colors in _textured if kept == mark), None)
    if known is None:
        known = _sampled(mesh, images, uv.reshape(-1, 2), np.repeat(slots, sizes))
        _textured.insert(0, (mark, known))
        del _textured[KEPT:]
    return known


def _mark(image: bpy.types.Image) -> tuple:
    """Another one whenever the pixels may be others; never the same while they are painted and not saved."""
    path = Path(bpy.path.abspath(image.filepath, library=image.library))
    written = path.stat().st_mtime_ns if image.filepath and path.is_file() else 0
    space = image.colorspace_settings.name
    return image.session_uid, tuple(image.size), str(path), written, space, object() if image.is_dirty else None


def _sampled(
    mesh: bpy.types.Mesh, images: dict[int, bpy.types.Image | None], uv: np.ndarray, corner_slot: np.ndarray
) -> VertexColors | None:
    """Colours of the images, by material slot, at the places uv (L, 2) of the corners."""
    corners = np.full((len(uv), 3), 128, dtype=np.uint8)
    uv = np.nan_to_num(uv)
    names = []
    for slot, image in images.items():
        pixels = _pixels(image) if image is not None else None
        if pixels is None:
            continue
        height, width = pixels.shape[:2]
        mine = corner_slot == slot
        x = np.floor((uv[mine, 0] % 1.0) * width).astype(np.int64).clip(0, width - 1)
        y = np.floor((uv[mine, 1] % 1.0) * height).astype(np.int64).clip(0, height - 1)
        corners[mine] = pixels[y, x]
        names.append(image.name)
    if not names:
        return None
    source = f"texture “{names[0]}”" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
    return VertexColors(_corners_to_vertices(mesh, corners), source)
