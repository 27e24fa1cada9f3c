"""A scan prepared for clicking: sorted by voxel once, so that a click touches only the region around it."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from .errors import UserError
from .models.points import Points
from .sparse.kernel_maps import neighbour_table
from .sparse.voxels import unique_rows

TRAINED_VOXEL = 0.05
"""Voxel size in metres that networks are trained at; other working resolutions are scaled to it."""
TILE = 16
"""Edge of a tile in voxels, in x and y; regions are made of whole tiles with all that lies above and below."""
COLOUR_REACH = 0.25
"""Colour difference (Euclidean, RGB in [0, 1]) at which a neighbouring voxel's say in a label is down to 1/e."""
FEWEST_NEIGHBOURS = 4
"""Of 26; a dense surface has about 8. With fewer, parts of a mask are connected over coarser cells."""
COARSEST = 8
_MAX_CELLS = 2**62


@dataclass(frozen=True)
class TileBox:
    """Tiles x0 <= x < x1, y0 <= y < y1."""

    x0: int
    y0: int
    x1: int
    y1: int

    def contains(self, places: np.ndarray) -> np.ndarray:
        """Which places (K, 2) in tiles lie inside: (K,) bool."""
        return ((places >= (self.x0, self.y0)) & (places < (self.x1, self.y1))).all(1)


class Scene:
    """A scan's points in voxel order.

    positions: (N, 3) float metres (any offset; kept in float64 while it is taken off), colors: (N, 3) uint8 or None,
    voxel_size: metres. Raises UserError for arrays that are not a scan.
    """

    def __init__(self, positions: np.ndarray, colors: np.ndarray | None = None, voxel_size: float = TRAINED_VOXEL):
        _check(positions, colors, voxel_size)
        self.voxel_size = voxel_size
        low = positions.min(0).astype(np.float64)
        self.origin = np.floor(low / (voxel_size * TILE)) * (voxel_size * TILE)
        """(3,) float64: what was taken off the positions, a whole number of tiles."""
        points = (positions - self.origin).astype(np.float32)
        self.order, cells = _sort_by_voxel(points, voxel_size)
        """order: (N,) int32 or int64, the given index of each point in voxel order."""
        self.points = points[self.order]
        self.colors = None if colors is None else colors[self.order]
        first = np.flatnonzero(np.append(True, (np.diff(cells, axis=0) != 0).any(1)))
        self.starts = np.append(first, len(points)).astype(np.int64)
        """(V + 1,) first point of each voxel."""
        self.cells = cells[first]
        """(V, 3) int32 voxel coordinates."""
        tiles = self.cells[:, :2] // TILE
        first_of_tile = np.flatnonzero(np.append(True, (np.diff(tiles, axis=0) != 0).any(1)))
        self.tiles = tiles[first_of_tile]
        self.tile_starts = np.append(first_of_tile, len(self.cells))
        self._regions: OrderedDict[tuple, Region] = OrderedDict()

    def __len__(self) -> int:
        return len(self.points)

    @property
    def tile_size(self) -> float:
        """Edge of a tile in metres."""
        return TILE * self.voxel_size

    def region(self, box: TileBox, device: torch.device) -> "Region":
        """The part of the scan in a box of tiles; the last few asked for are kept."""
        key = (box, str(device))
        if key in self._regions:
            self._regions.move_to_end(key)
        else:
            self._regions[key] = Region(self, box, device)
            while len(self._regions) > 4:
                self._regions.popitem(last=False)
        return self._regions[key]

    def tiles_inside(self, box: TileBox) -> np.ndarray:
        """Indices of the tiles in a box."""
        x, y = self.tiles[:, 0], self.tiles[:, 1]
        return np.flatnonzero((x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1))


class Region:
    """What the network sees: the voxels of some tiles, as points at the trained scale.

    frame: (3,) float64 scan coordinates of the region's zero (the middle in x and y, the lowest voxel in z).
    rows: (M,) rows of the scene's sorted points; points: one per voxel, the mean of its points.
    """

    def __init__(self, scene: Scene, box: TileBox, device: torch.device):
        self.box = box
        tiles = scene.tiles_inside(box)
        if not len(tiles):
            raise UserError("There are no scan points near the click; click on the scan itself.")
        voxels = _ranges(scene.tile_starts[tiles], scene.tile_starts[tiles + 1])
        starts, stops = scene.starts[voxels], scene.starts[voxels + 1]
        counts = stops - starts
        self.rows = _ranges(starts, stops)
        cells = scene.cells[voxels]
        middle = np.array([(box.x0 + box.x1) // 2 * TILE, (box.y0 + box.y1) // 2 * TILE, cells[:, 2].min()])
        self.frame = scene.origin + middle * scene.voxel_size
        self.scale = TRAINED_VOXEL / scene.voxel_size
        cells = cells - middle.astype(np.int32)
        xyz = (scene.points[self.rows] - (self.frame - scene.origin)).astype(np.float32) * np.float32(self.scale)
        first = np.append(0, np.cumsum(counts)[:-1])
        low = cells.astype(np.float32) * np.float32(TRAINED_VOXEL)
        mean = np.add.reduceat(xyz, first, axis=0) / counts[:, None]
        # inside its voxel for certain, whatever float32 rounding does
        mean = np.clip(mean, low + 1e-4, low + TRAINED_VOXEL - 1e-4).astype(np.float32)
        self.points = Points(torch.from_numpy(mean).to(device))
        self._table = neighbour_table(torch.from_numpy(np.pad(cells, ((0, 0), (1, 0)))), 3)
        self._links = _links(torch.from_numpy(cells), self._table)
        self.rgb = None
        colours = None
        if scene.colors is not None:
            colours = scene.colors[self.rows].astype(np.float32) / 255
            mean_rgb = (np.add.reduceat(colours, first, axis=0) / counts[:, None]).astype(np.float32)
            self.rgb = torch.from_numpy(mean_rgb).to(device)
            colours = torch.from_numpy(colours).to(device)
        voxel_of = torch.from_numpy(np.repeat(np.arange(len(cells)), counts)).to(device)
        self._interpolation = _interpolation(
            torch.from_numpy(cells).to(device),
            self._table.to(device),
            voxel_of,
            torch.from_numpy(xyz).to(device),
            self.rgb,
            colours,
        )

    def to_points(self, scores: torch.Tensor) -> torch.Tensor:
        """Per-voxel scores (V,) float interpolated to the region's points (M,)."""
        voxels, weights = self._interpolation
        padded = torch.cat([scores, scores.new_zeros(1)])
        return (padded[voxels] * weights).sum(1)

    def connected(self, mask: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """The parts of a voxel mask (V,) bool that touch one of the places `at` (K, 3) in the region's frame.

        Parts are connected over the 26-neighbourhood, of cells as coarse as the scan is sparse; a part touches a place
        within two of them. Where none does, the mask stays as it is.
        """
        links = self._links
        on = torch.zeros(len(links.table), dtype=torch.bool)
        on[links.cell_of[mask.cpu()]] = True
        rows = on.nonzero().squeeze(1)
        before = links.table[rows, :13].to(torch.int64)
        linked = torch.cat([on, on.new_zeros(1)])[before]
        edges = (rows.unsqueeze(1).expand_as(before)[linked].numpy(), before[linked].numpy())
        graph = coo_matrix((np.ones(len(edges[0]), bool), edges), shape=(len(on), len(on)))
        part = torch.from_numpy(connected_components(graph, directed=False)[1])
        part = part[links.cell_of].to(mask.device)
        near = (torch.cdist(at, self.points.xyz) < 2.2 * TRAINED_VOXEL * links.factor).any(0)
        touched = torch.unique(part[near & mask])
        return mask & torch.isin(part, touched) if len(touched) else mask

    def locate(self, positions: np.ndarray) -> torch.Tensor:
        """Scan coordinates (K, 3) float64 metres in the region's frame and scale, float32."""
        return torch.from_numpy(((positions - self.frame) * self.scale).astype(np.float32)).to(self.points.xyz.device)


@dataclass(frozen=True)
class _Links:
    """What parts of a mask are connected over: cells of `factor` voxels, the cell (V,) of each voxel, and the 27
    neighbours (C, 27) of each cell."""

    factor: int
    cell_of: torch.Tensor
    table: torch.Tensor


def _links(cells: torch.Tensor, table: torch.Tensor) -> _Links:
    """The finest cells at which most have FEWEST_NEIGHBOURS: voxels (V, 3) themselves where a scan is dense.

    Far from a laser scanner points lie farther apart than voxels are wide, and every voxel is on its own.
    """
    factor, cell_of = 1, torch.arange(len(cells))
    while int(((table < len(table)).sum(1) - 1).median()) < FEWEST_NEIGHBOURS and factor < COARSEST:
        factor *= 2
        coarse = torch.div(cells, factor, rounding_mode="floor")
        rows, cell_of, _ = unique_rows(torch.nn.functional.pad(coarse.to(torch.int64), (1, 0)))
        table = neighbour_table(rows.to(torch.int32), 3)
    return _Links(factor, cell_of, table)


def _interpolation(cells, table, voxel_of, xyz, voxel_rgb, rgb) -> tuple[torch.Tensor, torch.Tensor]:
    """Trilinear weights of each point over the occupied ones of its eight surrounding voxels.

    Voxels of another colour count less: at a colour edge the label follows the edge, not the 5 cm grid.
    Returns voxels (M, 8) int64 (V for none) and weights (M, 8) float32 that sum to 1.
    """
    offset = xyz / TRAINED_VOXEL - cells[voxel_of] - 0.5
    side = torch.where(offset >= 0, 1, -1)
    share = offset.abs().clamp_(max=1)
    slots, weights = [], []
    for corner in range(8):
        bits = torch.tensor([corner & 1, corner >> 1 & 1, corner >> 2 & 1], device=cells.device)
        step = side * bits
        slots.append(step[:, 0] + 3 * step[:, 1] + 9 * step[:, 2] + 13)
        weights.append(torch.where(bits.bool(), share, 1 - share).prod(1))
    voxels = table[voxel_of.unsqueeze(1), torch.stack(slots, 1)].to(torch.int64)
    weight = torch.stack(weights, 1) * (voxels < len(cells))
    if rgb is not None:
        around = torch.cat([voxel_rgb, voxel_rgb.new_zeros(1, 3)])[voxels]
        weight *= torch.exp(-(around - rgb.unsqueeze(1)).square().sum(2) / COLOUR_REACH**2) + 1e-6
    # a point in the outermost corner of its voxel still has its own voxel's say
    weight[:, 0] += 1e-6
    return voxels, weight / weight.sum(1, keepdim=True)


def _ranges(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """Concatenated arange(start, stop) of many ranges."""
    lengths = stops - starts
    ends = np.cumsum(lengths)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(starts - ends + lengths, lengths)


def _sort_by_voxel(points: np.ndarray, voxel_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Order of points by tile, then voxel; and the sorted voxel coordinates (N, 3) int32."""
    cells = np.floor(points / np.float32(voxel_size)).astype(np.int32)
    extent = cells.max(0).astype(np.int64) + 1
    tiles = -(-extent[:2] // TILE)
    if float(tiles[0]) * float(tiles[1]) * TILE * TILE * float(extent[2]) >= _MAX_CELLS:
        raise UserError("The scan is too large for this voxel size; choose larger voxels or check its units.")
    key = (cells[:, 0] // TILE).astype(np.int64) * tiles[1] + cells[:, 1] // TILE
    key = (key * TILE + cells[:, 0] % TILE) * TILE + cells[:, 1] % TILE
    key = key * extent[2] + cells[:, 2]
    order = np.argsort(key, kind="stable")
    if len(points) < 2**31:
        order = order.astype(np.int32)
    return order, cells[order]


def _check(positions: np.ndarray, colors: np.ndarray | None, voxel_size: float) -> None:
    if positions.ndim != 2 or positions.shape[1] != 3 or positions.dtype.kind != "f":
        raise UserError("Positions must be an array of N x 3 decimal numbers, in metres.")
    if len(positions) < 2:
        raise UserError(f"The scan has {len(positions)} points; there is nothing to segment.")
    if not np.isfinite(positions).all():
        bad = int((~np.isfinite(positions).all(1)).sum())
        raise UserError(f"{bad} of the scan's points have no finite position; remove them and try again.")
    if colors is not None and (colors.shape != positions.shape or colors.dtype != np.uint8):
        raise UserError("Colours must be N x 3 bytes, one row for each point.")
    if not (np.isfinite(voxel_size) and voxel_size > 0):
        raise UserError("The voxel size must be a positive number of metres.")
    extent = float((positions.max(0).astype(np.float64) - positions.min(0)).max())
    if extent < voxel_size:
        raise UserError(
            f"All points lie within {extent:.3g} m, less than one voxel of {voxel_size:g} m; choose smaller voxels."
        )
    if extent / voxel_size > 2**20:
        raise UserError(
            f"The scan is {extent:.3g} m wide, too much for voxels of {voxel_size:g} m; choose larger voxels "
            "or check its units."
        )
