"""Pictures on a mesh's faces: which one a material shows, its pixels, and whether they may be others by now."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from .encoding import linear_to_srgb

MAX_TEXTURE = 2048
FIRST_TILE = 1001
_NO_COLOUR = ("Factor", "Fac", "Vector")
_FARTHEST = 8
"""Nodes between a picture and where it is told its place."""


@dataclass(frozen=True)
class Picture:
    """An image on faces, and the UV map that it lies on: "" is the one that is rendered with."""

    image: bpy.types.Image
    uv_map: str


def picture_of(material: bpy.types.Material | None) -> Picture | None:
    """The picture behind the Base Color of the material's Principled BSDF, or its only one."""
    if material is None or material.node_tree is None:
        return None
    nodes = material.node_tree.nodes
    for shader in (n for n in nodes if n.type in ("BSDF_PRINCIPLED", "EMISSION", "BSDF_DIFFUSE")):
        node = _image_behind(shader.inputs.get("Base Color") or shader.inputs.get("Color"), set())
        if node is not None:
            return Picture(node.image, _uv_map(node))
    images = [n for n in nodes if n.type == "TEX_IMAGE" and n.image is not None]
    return Picture(images[0].image, _uv_map(images[0])) if len(images) == 1 else None


def images_of(obj: bpy.types.Object) -> set[bpy.types.Image]:
    """All images of an object's materials, those in groups of nodes too."""
    trees = [slot.material.node_tree for slot in obj.material_slots if slot.material is not None]
    seen, images = set(), set()
    while trees:
        tree = trees.pop()
        if tree is None or tree in seen:
            continue
        seen.add(tree)
        images |= {node.image for node in tree.nodes if node.type == "TEX_IMAGE" and node.image is not None}
        trees += [node.node_tree for node in tree.nodes if node.type == "GROUP"]
    return images


def _image_behind(socket: bpy.types.NodeSocket | None, seen: set[bpy.types.Node]) -> bpy.types.Node | None:
    """The first node with an image that a colour comes from, through whatever mixes it."""
    for link in socket.links if socket is not None else ():
        node = link.from_node
        if node.type == "TEX_IMAGE" and node.image is not None:
            return node
        if node in seen:
            continue
        seen.add(node)
        for behind in node.inputs:
            passed_over = behind.name in _NO_COLOUR and node.type != "VALTORGB"  # a ramp makes colours of its factor
            found = None if passed_over else _image_behind(behind, seen)
            if found is not None:
                return found
    return None


def _uv_map(node: bpy.types.Node) -> str:
    for _ in range(_FARTHEST):
        socket = next((socket for socket in node.inputs if socket.is_linked), None)
        if socket is None:
            break
        node = socket.links[0].from_node
        if node.type == "UVMAP":
            return node.uv_map
        if node.type == "ATTRIBUTE":
            return node.attribute_name
    return ""


def tiles(image: bpy.types.Image) -> list[int | None]:
    """Numbers of the UDIM tiles that a picture is made of; None alone for one that is repeated everywhere."""
    return [tile.number for tile in image.tiles] if image.source == "TILED" else [None]


def place(tile: int) -> tuple[int, int]:
    """Where in UV space a tile begins: ten of them side by side, from 1001 on."""
    row, column = divmod(tile - FIRST_TILE, 10)
    return column, row


def pixels(image: bpy.types.Image, tile: int | None) -> np.ndarray | None:
    """uint8 (H, W, 3) sRGB of a picture or one of its tiles, at most 2048 wide; None where it cannot be read."""
    if tile is None:
        return _pixels_of(image)
    alone = _tile_alone(image, tile)  # an image shows Python the pixels of its first tile only
    if alone is None:
        return _pixels_of(image) if tile == image.tiles[0].number else None
    try:
        return _pixels_of(alone)
    finally:
        bpy.data.images.remove(alone)


def mark(image: bpy.types.Image) -> tuple:
    """Another one whenever the pixels may be others. Its path is whole: Blender writes it anew when a file is saved."""
    written = tuple(path.stat().st_mtime_ns for path in _files(image) if path.is_file())
    space, path = image.colorspace_settings.name, str(_path(image, None))
    return image.session_uid, tuple(image.size), path, written, space, _checksum(image) if image.is_dirty else None


def _checksum(image: bpy.types.Image) -> int:
    pixels = np.empty(len(image.pixels), dtype=np.float32)
    image.pixels.foreach_get(pixels)
    return zlib.crc32(pixels)


def _files(image: bpy.types.Image) -> list[Path]:
    return [_path(image, tile) for tile in tiles(image)] if image.filepath else []


def _path(image: bpy.types.Image, tile: int | None) -> Path:
    path = bpy.path.abspath(image.filepath, library=image.library)
    if tile is not None:
        column, row = place(tile)
        path = path.replace("<UDIM>", str(tile)).replace("<UVTILE>", f"u{column + 1}_v{row + 1}")
    return Path(path)


def _tile_alone(image: bpy.types.Image, tile: int) -> bpy.types.Image | None:
    """A tile as an image of its own, which the caller removes; None where it is neither packed nor a file."""
    packed = next((file.packed_file for file in image.packed_files if file.tile_number == tile), None)
    if packed is not None:
        alone = bpy.data.images.new(image.name, 1, 1)
        alone.pack(data=packed.data, data_len=packed.size)
        alone.source = "FILE"
    elif image.filepath and _path(image, tile).is_file():
        alone = bpy.data.images.load(str(_path(image, tile)))
    else:
        return None
    alone.colorspace_settings.name = image.colorspace_settings.name
    return alone


def _pixels_of(image: bpy.types.Image) -> np.ndarray | None:
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
