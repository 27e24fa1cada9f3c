"""Pictures on a mesh's faces: which one a material shows, its pixels, and whether they may be others by now."""

from pathlib import Path

import bpy
import numpy as np

from .encoding import linear_to_srgb

MAX_TEXTURE = 2048
FIRST_TILE = 1001


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


def tiles(image: bpy.types.Image) -> list[int | None]:
    """Numbers of the UDIM tiles that a picture is made of; None alone for one that is repeated everywhere."""
    return [tile.number for tile in image.tiles] if image.source == "TILED" else [None]


def place(tile: int) -> tuple[int, int]:
    """Where in UV space a tile begins: ten of them side by side, from 1001 on."""
    row, column = divmod(tile - FIRST_TILE, 10)
    return column, row


def pixels(image: bpy.types.Image, tile: int | None = None) -> np.ndarray | None:
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
    """Another one whenever the pixels may be others; never the same while they are painted and not saved."""
    written = tuple(path.stat().st_mtime_ns for path in _files(image) if path.is_file())
    space = image.colorspace_settings.name
    return image.session_uid, tuple(image.size), image.filepath, written, space, object() if image.is_dirty else None


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
