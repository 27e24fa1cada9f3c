"""The scan as the network sees it: points in metres relative to the scan's middle, colours, samples on large faces."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import bpy
import numpy as np

from . import colors, sampling, voxels
from .blocks import blocks
from .geometry import Geometry, coordinates, same_bits, triangle_count, triangles_of


class ScanError(Exception):
    """Something about the scan that the artist has to mend; the text is one sentence."""


@dataclass(frozen=True)
class Scan:
    """What is sent for one object. Points: the valid vertices first, then samples on faces.

    Attributes:
        raw: float32 (N, 3) the mesh's own coordinates, to notice edits.
        valid: int64 (V,) the vertices whose positions are numbers.
        points: float32 (V + S, 3) metres, relative to `center`, z up, axes of the world.
        point_colors: uint8 (V + S, 3) or None.
        to_world: float64 (3, 3), mesh coordinates -> metres, without the translation.
        center: float64 (3,) metres, in the frame of `to_world`.
        sampled_for: voxel size in metres that the samples on faces were made for.
        triangles: int32 (T, 3) indices of points, without those that have invalid vertices; None without faces.
        sample_triangle, sample_weights: (S,) triangle of each sample, (S, 3) weights of its corners.
        warning: one sentence about units or extent, or nothing.
    """

    raw: np.ndarray
    valid: np.ndarray
    points: np.ndarray
    point_colors: np.ndarray | None
    vertex_colors: colors.VertexColors
    to_world: np.ndarray
    center: np.ndarray
    proposal: voxels.Proposal
    sampled_for: float
    triangles: np.ndarray | None
    sample_triangle: np.ndarray | None
    sample_weights: np.ndarray | None
    warning: str

    @property
    def count(self) -> int:
        return len(self.raw)

    @property
    def color_source(self) -> str:
        """Where the colours come from, for the panel."""
        return self.vertex_colors.source

    def position(self, local: tuple[float, float, float]) -> tuple[float, float, float]:
        """A point of the mesh's own coordinates, as sent: metres relative to the middle."""
        x, y, z = self.to_world @ np.asarray(local, dtype=np.float64) - self.center
        return float(x), float(y), float(z)

    def point_index(self, vertex: int) -> int:
        """Index among the points sent, -1 for a vertex that was left out."""
        if len(self.valid) == self.count:
            return vertex if 0 <= vertex < self.count else -1
        found = int(np.searchsorted(self.valid, vertex))
        return found if found < len(self.valid) and self.valid[found] == vertex else -1

    def to_vertices(self, values: np.ndarray) -> np.ndarray:
        """Probabilities of the points sent (uint8) as probabilities of all vertices, uint8 (N,)."""
        kept = values
        if self.sample_triangle is not None and len(self.sample_triangle):
            kept = sampling.to_vertices(
                values, len(self.valid), self.triangles, self.sample_triangle, self.sample_weights
            )
        if len(self.valid) == self.count:
            return kept
        spread = np.zeros(self.count, dtype=np.uint8)
        spread[self.valid] = kept
        return spread


def warning_of(scan: Scan, obj: bpy.types.Object) -> str:
    """What the artist should know about this scan now: sentences, or ""."""
    shown = [modifier.name for modifier in obj.modifiers if modifier.show_viewport]
    if not shown:
        return scan.warning
    below = f"Clicks and masks are for the mesh without its modifiers ({', '.join(shown[:3])})."
    return f"{scan.warning} {below}".strip()


def finite_rows(positions: np.ndarray) -> np.ndarray:
    """bool (N,): the positions (N, 3) that are numbers."""
    x, y, z = np.isfinite(positions).T
    return x & y & z


def metres_matrix(obj: bpy.types.Object, scene: bpy.types.Scene) -> np.ndarray:
    """float64 (3, 3): the object's rotation and scale in the world, and the scene's unit scale."""
    units = scene.unit_settings
    scale = units.scale_length if units.system != "NONE" else 1.0
    return np.array(obj.matrix_world.to_3x3(), dtype=np.float64) * scale


def unchanged(scan: Scan, geometry: Geometry, raw: np.ndarray, scene: bpy.types.Scene) -> bool:
    """Whether positions and transform are still those of `scan`."""
    matrix = metres_matrix(geometry.obj, scene)
    return np.allclose(matrix, scan.to_world, rtol=1e-6, atol=0) and same_bits(raw, scan.raw)


def read(
    geometry: Geometry,
    scene: bpy.types.Scene,
    known: Scan | None,
    size_of: Callable[[voxels.Proposal], float],
    trusted: bool = False,
    tell: Callable[[float], None] = lambda share: None,
) -> Scan:
    """The scan of an object; `known` is handed back where nothing has changed.

    Args:
        size_of: the voxel size in metres, given what is proposed; faces are sampled at half of it.
        trusted: nobody has changed the data since `known` was read, as far as Blender tells; only the positions are
            compared then, which scripts may change without telling.
        tell: called with the share that is done, where positions or faces are new.
    Raises:
        ScanError: no or one vertex, all in one place, a flattened object, a face far larger than the voxels.
    """
    with geometry.snapshot() as data:
        raw = coordinates(data)
        same = known is not None and unchanged(known, geometry, raw, scene)
        same = same and triangle_count(data) == (0 if known.triangles is None else len(known.triangles))
        same = same and (known.triangles is None or size_of(known.proposal) == known.sampled_for)
        if same and trusted and not colors.pictures_changed(known.vertex_colors, geometry.materials):
            return known
        if not same:
            tell(0.1)
        told = (lambda share: None) if same else (lambda share: tell(0.1 + 0.2 * share))
        vertex_colors = colors.read_colors(data, geometry.materials, told)
        if same and _equal(vertex_colors.values, known.vertex_colors.values):
            known.vertex_colors.pictures = vertex_colors.pictures
            return known
        tell(0.3)
        triangles = triangles_of(data)
    return _build(geometry, scene, raw, vertex_colors, triangles, size_of, tell)


def _equal(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return first is second
    return np.array_equal(first, second)


def _build(
    geometry: Geometry,
    scene: bpy.types.Scene,
    raw: np.ndarray,
    vertex_colors: colors.VertexColors,
    triangles: np.ndarray | None,
    size_of: Callable[[voxels.Proposal], float],
    tell: Callable[[float], None],
) -> Scan:
    name = geometry.obj.name
    if len(raw) < 2:
        what = "no vertices" if not len(raw) else "only one vertex"
        raise ScanError(f"“{name}” has {what}: choose the object that holds the scan.")
    matrix = metres_matrix(geometry.obj, scene)
    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix)) < 1e-30:
        raise ScanError(f"“{name}” is scaled to nothing along an axis: give it a scale other than 0.")
    valid = np.flatnonzero(finite_rows(raw))
    if len(valid) < 2:
        raise ScanError(f"The vertices of “{name}” have no valid positions (NaN): import the scan again.")
    whole = len(valid) == len(raw)
    kept = raw if whole else raw[valid]
    low, high = _corners(kept, matrix, lambda share: tell(0.3 + 0.2 * share))
    if not (high - low).max() > 0:
        raise ScanError(f"All vertices of “{name}” lie in one place: there is nothing to tell apart.")
    center = (low + high) / 2
    points = _centred(kept, matrix, center, lambda share: tell(0.5 + 0.3 * share))
    proposal = voxels.propose(points)
    tell(0.9)
    if (points == points[0]).all():
        raise ScanError(f"“{name}” is too small or too far from its origin for its positions to be told apart.")
    size = size_of(proposal)
    sent_colors = vertex_colors.values
    if sent_colors is not None and not whole:
        sent_colors = sent_colors[valid]
    sampled = _sample(points, sent_colors, triangles, valid, len(raw), size, name)
    points, sent_colors, triangles, triangle, weights = sampled
    left_out = len(raw) - len(valid)
    warning = f"{left_out:,} vertices without a valid position (NaN) are left out. " if left_out else ""
    return Scan(
        raw,
        valid,
        points,
        sent_colors,
        vertex_colors,
        matrix,
        center,
        proposal,
        size,
        triangles,
        triangle,
        weights,
        warning + proposal.warning,
    )


def _blocks(raw: np.ndarray, matrix: np.ndarray, tell: Callable[[float], None]) -> Iterator[tuple[slice, np.ndarray]]:
    """The positions (N, 3) in metres, block by block: which ones, and float64 (3, B)."""
    for block in blocks(len(raw), tell):
        # numpy goes over long rows many times faster than over three columns
        yield block, matrix @ np.ascontiguousarray(raw[block].T, dtype=np.float64)


def _corners(raw: np.ndarray, matrix: np.ndarray, tell: Callable[[float], None]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner (3,) of the box around the positions, in metres."""
    boxes = [(world.min(axis=1), world.max(axis=1)) for _, world in _blocks(raw, matrix, tell)]
    lows, highs = zip(*boxes, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _centred(raw: np.ndarray, matrix: np.ndarray, center: np.ndarray, tell: Callable[[float], None]) -> np.ndarray:
    """float32 (N, 3): the positions in metres, relative to `center`."""
    points = np.empty((len(raw), 3), dtype=np.float32)
    for block, world in _blocks(raw, matrix, tell):
        points[block] = (world - center[:, None]).T
    return points


def _sample(
    points: np.ndarray,
    point_colors: np.ndarray | None,
    triangles: np.ndarray | None,
    valid: np.ndarray,
    count: int,
    voxel_size: float,
    name: str,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """Points and colours with the samples on large faces appended."""
    if triangles is None:
        return points, point_colors, None, None, None
    if len(valid) < count:
        renumbered = np.full(count, -1, dtype=np.int32)
        renumbered[valid] = np.arange(len(valid))
        triangles = renumbered[triangles]
        triangles = triangles[(triangles >= 0).all(axis=1)]
    try:
        extra, triangle, weights = sampling.sample_faces(points, triangles, voxel_size / 2)
    except ValueError as error:
        raise ScanError(
            f"The faces of “{name}” are huge against a voxel of {voxel_size * 100:g} cm ({error}): "
            "choose a larger voxel size, or check the scale of the object."
        ) from error
    if point_colors is not None and len(extra):
        mixed = (point_colors[triangles[triangle]] * weights[:, :, None]).sum(axis=1)
        point_colors = np.concatenate([point_colors, np.round(mixed).astype(np.uint8)])
    return np.concatenate([points, extra]), point_colors, triangles, triangle, weights
