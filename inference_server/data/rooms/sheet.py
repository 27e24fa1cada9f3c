"""Pictures of scans without a renderer: points drawn with a depth buffer, seen from above and from a corner."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inference_server.data.scans import Scan


def draw(
    positions: np.ndarray, colors: np.ndarray, eye, target, size=(480, 360), fov: float = 60.0, splat: int | None = None
) -> np.ndarray:
    """Render points (n,3) with colours (n,3) uint8 from `eye` looking at `target`, z up: (rows, columns, 3) uint8.
    `splat` fixes a point's width in pixels; by default it follows from the points' distance at 2.2 cm."""
    eye, target = np.asarray(eye, dtype=float), np.asarray(target, dtype=float)
    forward = target - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= max(np.linalg.norm(right), 1e-9)
    up = np.cross(right, forward)
    local = positions - eye
    z = local @ forward
    focal = size[0] / 2 / np.tan(np.radians(fov) / 2)
    ok = z > 0.15
    local, z, colors = local[ok], z[ok], colors[ok]
    x = local @ right / z * focal + size[0] / 2
    y = -(local @ up) / z * focal + size[1] / 2
    width = np.clip(np.ceil(focal * 0.022 / z), 1, 14).astype(int) if splat is None else np.full(len(z), splat)
    order = np.argsort(-z)
    x, y, colors, width = x[order], y[order], colors[order], width[order]
    image = np.full((size[1], size[0], 3), 24, dtype=np.uint8)
    depth = np.full((size[1], size[0]), np.inf)
    z = z[order]
    widest = int(width.max(initial=1))
    for extra in range(widest**2):
        dx, dy = extra % widest, extra // widest
        use = (width > dx) & (width > dy)
        if not use.any():
            continue
        column = (x[use] - width[use] / 2 + dx).astype(int)
        row = (y[use] - width[use] / 2 + dy).astype(int)
        inside = (column >= 0) & (row >= 0) & (column < size[0]) & (row < size[1])
        column, row = column[inside], row[inside]
        near, shade = z[use][inside], colors[use][inside]
        layer = np.full(depth.shape, np.inf)
        np.minimum.at(layer, (row, column), near)
        front = (near <= layer[row, column]) & (near < depth[row, column])
        image[row[front], column[front]] = shade[front]
        depth = np.minimum(depth, layer)
    return image


def label_colors(instance: np.ndarray) -> np.ndarray:
    """A distinct colour (n,3) uint8 per instance; unlabelled points grey."""
    rng = np.random.default_rng(7)
    table = rng.integers(40, 255, (int(instance.max(initial=0)) + 2, 3)).astype(np.uint8)
    table[-1] = 90
    return table[instance]


def portrait(scan: Scan, size=(480, 360)) -> np.ndarray:
    """Two pictures side by side, colours and instances, from a corner above with the near half cut open."""
    low, high = np.percentile(scan.positions, [1, 99], axis=0)
    middle, extent = (low + high) / 2, high - low
    colors = scan.colors if scan.colors is not None else np.full((len(scan), 3), 170, dtype=np.uint8)
    keep = scan.positions[:, 2] < low[2] + min(2.1, 0.85 * extent[2]) if extent[2] > 1.8 else np.ones(len(scan), bool)
    eye = middle + np.array([-0.45 * extent[0] - 0.6, -0.85 * extent[1] - 0.6, 0.75 * max(extent[:2]) + 0.5])
    target = middle - [0, 0, 0.25 * extent[2]]
    views = [
        draw(scan.positions[keep], c[keep], eye, target, size)
        for c in ((colors, label_colors(scan.instance)) if scan.instance is not None else (colors,))
    ]
    return np.concatenate(views, axis=1)


def contact_sheet(scans: list[Scan], path: Path, columns: int = 3, size=(360, 270)) -> None:
    """A PNG with the portraits of several scans and their names."""
    tiles = []
    for scan in scans:
        tile = Image.fromarray(portrait(scan, size))
        objects = len(np.unique(scan.instance[scan.instance >= 0])) if scan.instance is not None else 0
        ImageDraw.Draw(tile).text((6, 4), f"{scan.name}: {len(scan):,} vertices, {objects} objects", fill="white")
        tiles.append(tile)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = Image.new("RGB", (columns * tiles[0].width, rows * tiles[0].height))
    for k, tile in enumerate(tiles):
        sheet.paste(tile, ((k % columns) * tile.width, (k // columns) * tile.height))
    sheet.save(path, optimize=True)
