"""A scan prepared for clicking: sorted by voxel once, so that a click touches only the region around it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from .errors import UserError
from .interpolation import Interpolation
from .links import Links
from .minimum_cut import CutGraph
from .models.points import TRAINED_VOXEL, Points
from .recent import RecentlyUsed
from .refinement import surface_graph
from .sparse.kernel_maps import neighbour_table
from .sparse.normals import surface_normals
from .upright import AS_IT_IS, Turned, to_upright
from .voxel_order import TILE, VoxelKeys, cells_of, in_order

REGION_BYTES = 256_000_000
"""Memory for the regions that are kept, of all scans of a predictor together."""
_MAP_BYTES = 560
"""Memory of a voxel in the kernel maps of a U-Net, all levels together, and in the surface graph, about."""


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


class RegionCache:
    """Regions that were asked for last, of any scan, up to so many bytes; the newest always."""

    def __init__(self, most_bytes: int = REGION_BYTES):
        self._regions: RecentlyUsed[Region] = RecentlyUsed(most_bytes)

    def __len__(self) -> int:
        return len(self._regions)

    def get(self, scene: "Scene", box: TileBox, device: torch.device) -> "Region":
        """The region of a box, made where it is not kept."""
        key = _region_key(scene, box, device)
        region = self._regions.get(key)
        if region is None:
            region = Region(scene, box, device)
            self._regions.put(key, region)
        return region

    def forget(self, scene: "Scene", box: TileBox, device: torch.device) -> None:
        """A region that will hardly be asked for again."""
        self._regions.pop(_region_key(scene, box, device))

    def clear(self) -> None:
        """Give the memory back."""
        self._regions.clear()


def _region_key(scene: "Scene", box: TileBox, device: torch.device) -> tuple:
    return scene.key, box, str(device)


class Scene:
    """A scan's points in voxel order.

    positions: (N, 3) float metres (any offset; kept in float64 while it is taken off), colors: (N, 3) uint8 or None,
    voxel_size: metres, regions: where its regions are kept, default a cache of its own, upright: whether a room that is
    overturned, lies on a side or slants is turned; what is said of scan coordinates is then of the turned scan's. Takes
    19 bytes per point and 4 per voxel, and 28 per point on the way. Raises UserError for arrays that are not a scan.
    """

    def __init__(
        self,
        positions: np.ndarray,
        colors: np.ndarray | None = None,
        voxel_size: float = TRAINED_VOXEL,
        regions: RegionCache | None = None,
        upright: bool = False,
    ):
        corners = _check(positions, colors, voxel_size)
        self.rotation = to_upright(positions) if upright else AS_IT_IS
        """(3, 3): place in the turned scan = rotation @ place as it was given."""
        turned = None if self.rotation is AS_IT_IS else Turned(positions, self.rotation)
        low, high = corners if turned is None else turned.corners()
        places = positions if turned is None else turned
        self.voxel_size = voxel_size
        self.key = object()
        """What its regions are known by."""
        tile = voxel_size * TILE
        self.origin = np.floor(low / tile) * tile
        self.origin -= (self.origin > low) * tile  # by rounding
        """(3,) float64: what was taken off the positions, a whole number of tiles."""
        keys = VoxelKeys(self.origin, high, voxel_size)
        self.order, self.starts, voxel_keys = keys.sort(places)
        """order: (N,) int32 or int64, the given index of each point in voxel order; starts: (V + 1,) of the same type,
        the first point of each voxel."""
        self.tiles, self.tile_starts = keys.tiles(voxel_keys)
        """tiles: (T, 2) int32 coordinates, x before y; tile_starts: (T + 1,) the first voxel of each tile."""
        del voxel_keys
        self.points = in_order(places, self.order, self.origin)
        self.colors = None if colors is None else in_order(colors, self.order)
        self._regions = RegionCache() if regions is None else regions

    def __len__(self) -> int:
        return len(self.points)

    @property
    def bytes(self) -> int:
        """Memory that it takes, without its regions."""
        arrays = (self.order, self.starts, self.tiles, self.tile_starts, self.points, self.colors)
        return sum(array.nbytes for array in arrays if array is not None)

    @property
    def cells(self) -> np.ndarray:
        """(V, 3) int32 voxel coordinates, worked out anew."""
        return cells_of(self.points[self.starts[:-1]], self.voxel_size)

    @property
    def tile_size(self) -> float:
        """Edge of a tile in metres."""
        return TILE * self.voxel_size

    def region(self, box: TileBox, device: torch.device) -> "Region":
        """The part of the scan in a box of tiles; the last ones asked for are kept."""
        return self._regions.get(self, box, device)

    def forget_region(self, box: TileBox, device: torch.device) -> None:
        """Keep a region no longer."""
        self._regions.forget(self, box, device)

    def is_inside(self, box: TileBox, positions: np.ndarray) -> np.ndarray:
        """Which places (K, 3), scan coordinates, lie over a box: (K,) bool."""
        return box.contains((positions[:, :2] - self.origin[:2]) / self.tile_size)

    def tiles_inside(self, box: TileBox) -> np.ndarray:
        """Indices of the tiles in a box."""
        x, y = self.tiles[:, 0], self.tiles[:, 1]
        return np.flatnonzero((x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1))

    def voxels_inside(self, box: TileBox) -> int:
        """How many voxels a box has."""
        tiles = self.tiles_inside(box)
        return int((self.tile_starts[tiles + 1] - self.tile_starts[tiles]).sum())

    def filled_out(self, box: TileBox, step: int) -> TileBox:
        """A box taken to where the scan ends beside it, on each side where that is less than `step` tiles away."""
        sides = [box.x0, box.y0, box.x1, box.y1]
        for side, (axis, outwards) in enumerate([(0, -1), (1, -1), (0, 1), (1, 1)]):
            across = self.tiles[:, 1 - axis]
            beside = self.tiles[(across >= sides[1 - axis]) & (across < sides[3 - axis]), axis]
            beyond = [sides[side] + n * outwards - (outwards < 0) for n in range(step)]
            sides[side] += next((n for n in range(step) if beyond[n] not in beside), 0) * outwards
        return TileBox(*sides)

    def runs_inside(self, box: TileBox) -> list[tuple[int, int]]:
        """Ranges of voxels that make up a box: tiles of the same x and neighbouring y stand together."""
        tiles = self.tiles_inside(box)
        cuts = np.flatnonzero(np.diff(tiles) != 1) + 1
        runs = [run for run in np.split(tiles, cuts) if len(run)]
        return [(int(self.tile_starts[run[0]]), int(self.tile_starts[run[-1] + 1])) for run in runs]


class Region:
    """What the network sees: the voxels of some tiles, as points at the trained scale.

    frame: (3,) float64 scan coordinates of the region's zero (the middle in x and y, the lowest voxel in z).
    indices: (M,) the given index of each of its points; xyz: (M, 3) float32 the points in voxels;
    points: one per voxel, the mean of its points; voxels: (V,) their numbers in the scan, ascending; counts: (V,) int64
    points of each.
    """

    def __init__(self, scene: Scene, box: TileBox, device: torch.device):
        self.box = box
        runs = scene.runs_inside(box)
        if not runs:
            raise UserError("There are no scan points near the click; click on the scan itself.")
        slices = [slice(scene.starts[first], scene.starts[stop]) for first, stop in runs]
        counts = np.concatenate([np.diff(scene.starts[first : stop + 1]) for first, stop in runs])
        first = np.append(0, np.cumsum(counts)[:-1])
        self.counts = torch.from_numpy(counts).to(device, torch.int64)
        self._runs = np.array([(part.start, part.stop) for part in slices])
        self.voxels = np.concatenate([np.arange(*run, dtype=np.int32) for run in runs])
        self.indices = np.concatenate([scene.order[part] for part in slices])
        xyz = np.concatenate([scene.points[part] for part in slices])
        cells = cells_of(xyz[first], scene.voxel_size)
        middle = np.array([(box.x0 + box.x1) // 2 * TILE, (box.y0 + box.y1) // 2 * TILE, cells[:, 2].min()])
        self.frame = scene.origin + middle * scene.voxel_size
        self.scale = TRAINED_VOXEL / scene.voxel_size
        cells -= middle.astype(np.int32)
        xyz -= (self.frame - scene.origin).astype(np.float32)
        xyz *= np.float32(self.scale)
        low = cells.astype(np.float32) * np.float32(TRAINED_VOXEL)
        mean = np.add.reduceat(xyz, first, axis=0) / counts[:, None]
        # inside its voxel for certain, whatever float32 rounding does
        mean = np.clip(mean, low + 1e-4, low + TRAINED_VOXEL - 1e-4).astype(np.float32)
        self.points = Points(torch.from_numpy(mean).to(device))
        self._table = neighbour_table(torch.from_numpy(np.pad(cells, ((0, 0), (1, 0)))), 3)
        self._links = Links(torch.from_numpy(cells), self._table)
        self.rgb = colours = None
        if scene.colors is not None:
            colours = np.concatenate([scene.colors[part] for part in slices]).astype(np.float32) / 255
            mean_rgb = (np.add.reduceat(colours, first, axis=0) / counts[:, None]).astype(np.float32)
            self.rgb = torch.from_numpy(mean_rgb).to(device)
            colours = torch.from_numpy(colours).to(device)
        xyz /= np.float32(TRAINED_VOXEL)
        self.xyz = torch.from_numpy(xyz).to(device)
        self._interpolation = Interpolation(
            torch.from_numpy(cells).to(device),
            self._table.to(device),
            self.counts,
            self.xyz,
            self.rgb,
            colours,
        )

    @property
    def bytes(self) -> int:
        """Memory that it takes at the most, with the kernel maps that a network keeps with its points."""
        return self.indices.nbytes + len(self.points) * _MAP_BYTES + self._interpolation.bytes

    @cached_property
    def normals(self) -> torch.Tensor:
        """(V, 3) float32 unit normals of the surface, signs arbitrary."""
        return surface_normals(self._table, self.points.xyz)

    @cached_property
    def graph(self) -> CutGraph:
        """Which voxels touch, and how alike they are."""
        return surface_graph(self._table, self.normals, self.rgb)

    def to_points(self, scores: torch.Tensor) -> torch.Tensor:
        """Per-voxel log-odds (V,) float interpolated to the region's points (M,); see Interpolation."""
        return self._interpolation(scores)

    def to_voxels(self, values: torch.Tensor) -> torch.Tensor:
        """Mean (V,) of what the points (M,) of each voxel have."""
        sums = values.new_zeros(len(self.counts))
        return sums.index_add_(0, self._interpolation.voxel_of, values) / self.counts

    def updated(
        self, scores: torch.Tensor, at_points: torch.Tensor, rows: torch.Tensor, better: torch.Tensor
    ) -> torch.Tensor:
        """Log-odds (V,) of voxels whose points (M,) are told better: (K,) values of some rows of them."""
        at_points = at_points.index_copy(0, rows, better)
        touched = torch.zeros(len(scores), dtype=torch.bool, device=scores.device)
        touched[self._interpolation.voxel_of[rows]] = True
        return torch.where(touched, self.to_voxels(at_points), scores)

    def rows_of(self, ranks: np.ndarray) -> np.ndarray:
        """Rows (K,) int64 among the region's points of places (K,) in the scan's voxel order, -1 for those outside."""
        starts, stops = self._runs.T
        run = np.searchsorted(starts, ranks, side="right") - 1
        before = np.append(0, np.cumsum(stops - starts)[:-1])
        return np.where((run >= 0) & (ranks < stops[run]), before[run] + ranks - starts[run], -1)

    def nearest(self, position: np.ndarray) -> int:
        """The given index of the region's point nearest to a place (3,) in scan coordinates."""
        offset = self.locate(position[None]) / TRAINED_VOXEL
        return int(self.indices[int((self.xyz - offset).square().sum(1).argmin())])

    def connected(self, mask: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        """The parts of a voxel mask (V,) bool that touch one of the places `at` (K, 3) in the region's frame.

        A part touches a place within two of the cells that parts are connected over (links.py). Where none does, the
        mask stays as it is.
        """
        part, width = self._links.parts(mask.cpu())
        part = part.to(mask.device)
        reach = 2.2 * TRAINED_VOXEL * width
        near = torch.zeros_like(mask)
        for place in at:
            near |= (self.points.xyz - place).square().sum(1) < reach**2
        touched = torch.unique(part[near & mask])
        return mask & torch.isin(part, touched) if len(touched) else mask

    def locate(self, positions: np.ndarray) -> torch.Tensor:
        """Scan coordinates (K, 3) float64 metres in the region's frame and scale, float32."""
        return torch.from_numpy(((positions - self.frame) * self.scale).astype(np.float32)).to(self.points.xyz.device)


def _check(positions: np.ndarray, colors: np.ndarray | None, voxel_size: float) -> np.ndarray:
    """Lowest and highest corner (2, 3) float64 of arrays that are a scan."""
    if positions.ndim != 2 or positions.shape[1] != 3 or positions.dtype.kind != "f":
        raise UserError("Positions must be an array of N x 3 decimal numbers, in metres.")
    if len(positions) < 2:
        raise UserError(f"The scan has {len(positions)} points; there is nothing to segment.")
    low, high = positions.min(0).astype(np.float64), positions.max(0).astype(np.float64)
    # both pass on what is not a number
    if not np.isfinite([low, high]).all():
        bad = int((~np.isfinite(positions).all(1)).sum())
        raise UserError(f"{bad} of the scan's points have no finite position; remove them and try again.")
    if colors is not None and (colors.shape != positions.shape or colors.dtype != np.uint8):
        raise UserError("Colours must be N x 3 bytes, one row for each point.")
    if not (np.isfinite(voxel_size) and voxel_size > 0):
        raise UserError("The voxel size must be a positive number of metres.")
    extent = float((high - low).max())
    if extent < voxel_size:
        raise UserError(
            f"All points lie within {extent:.3g} m, less than one voxel of {voxel_size:g} m; choose smaller voxels."
        )
    if extent / voxel_size > 2**20:
        raise UserError(
            f"The scan is {extent:.3g} m wide, too much for voxels of {voxel_size:g} m; choose larger voxels "
            "or check its units."
        )
    return np.stack([low, high])
