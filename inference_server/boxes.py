"""Which part of a scan the network looks at: the surroundings of the clicks, and as far as the object goes on.

Lengths in metres are those at voxels of 5 cm; other working resolutions are scaled to it.
"""

import math

import numpy as np

from .errors import TooFarApart, UserError
from .models.points import TRAINED_VOXEL
from .scene import Scene, TileBox
from .voxel_order import TILE

REGION = 5.0
"""Edge in metres of the square around the clicks that the network sees at first."""
MARGIN = 1.6
"""Metres of surroundings that every click has at the least, and by which a box grows."""
MAX_REGION_VOXELS = 150_000
"""How far a box grows after its object; clicks themselves may ask for MAX_CLICKED_VOXELS."""
MAX_CLICKED_VOXELS = 600_000
STEP = math.ceil(MARGIN / (TILE * TRAINED_VOXEL))
"""Tiles by which a box grows; where the scan ends that near, it is taken to its end from the first."""
RIM = 2
"""Voxels from a box's border, within which a mask goes on beyond it."""


def box_around(
    scene: Scene, positions: np.ndarray, edge: float = REGION, margin: float = MARGIN, step: int = STEP
) -> TileBox:
    """Tiles of the square around clicks (K, 3), scan coordinates, wide enough for each click's surroundings.

    step: tiles beyond the square within which it is taken to the scan's end. Raises UserError where there are no
    points, TooFarApart where there are too many.
    """
    scale = scene.voxel_size / TRAINED_VOXEL
    local = positions[:, :2] - scene.origin[:2]
    low, high = local.min(0), local.max(0)
    half = np.maximum((high - low) / 2 + margin * scale, edge * scale / 2)
    middle = (low + high) / 2
    first = np.floor((middle - half) / scene.tile_size).astype(int)
    last = np.ceil((middle + half) / scene.tile_size).astype(int)
    limits_low, limits_high = scene.tiles.min(0), scene.tiles.max(0) + 1
    if (last <= limits_low).any() or (first >= limits_high).any():
        raise UserError("There are no scan points near the click; click on the scan itself.")
    first, last = np.maximum(first, limits_low), np.minimum(last, limits_high)
    box = scene.filled_out(TileBox(*first.tolist(), *last.tolist()), step)
    voxels = scene.voxels_inside(box)
    if voxels > MAX_CLICKED_VOXELS:
        raise TooFarApart(
            f"This object's clicks lie {float((high - low).max()):.3g} m apart, with {voxels:,} voxels between; at "
            f"most {MAX_CLICKED_VOXELS:,} fit. Choose larger voxels, or make two objects of it."
        )
    return box


def grown_to(scene: Scene, box: TileBox, voxels: np.ndarray, step: int = STEP) -> TileBox:
    """The box, grown until a mask keeps off its border or the scan ends there.

    voxels: (V,) numbers in the scan of the mask's voxels; step: tiles by which a side grows at once, or half of them
    and so on down to STEP, where the box would hold too many voxels. The box stays as it is where the mask fits, and
    where it would hold no more voxels than before.
    """
    if not len(voxels):
        return box
    at = scene.points[scene.starts[voxels], :2] / np.float32(scene.tile_size)
    rim = RIM / TILE
    low, high = at.min(0) - rim, at.max(0) + rim
    grown = _grown(scene, box, low, high, step)
    while (held := scene.voxels_inside(grown)) > MAX_REGION_VOXELS and step > STEP:
        step = max(step // 2, STEP)
        grown = _grown(scene, box, low, high, step)
    return grown if scene.voxels_inside(box) < held <= MAX_REGION_VOXELS else box


def _grown(scene: Scene, box: TileBox, low: np.ndarray, high: np.ndarray, step: int) -> TileBox:
    """The box, grown by steps on each side to hold what lies between two corners (2,) in tiles, in the scan."""
    limits_low, limits_high = scene.tiles.min(0), scene.tiles.max(0) + 1
    first = np.array([box.x0, box.y0])
    last = np.array([box.x1, box.y1])
    steps_down, steps_up = (np.maximum(np.ceil(far / step), 0).astype(int) for far in (first - low, high - last))
    first = np.minimum(first, np.maximum(first - step * steps_down, limits_low))
    last = np.maximum(last, np.minimum(last + step * steps_up, limits_high))
    return TileBox(*first.tolist(), *last.tolist())
