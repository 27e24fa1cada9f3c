"""Points on faces that are larger than half a voxel, so that a coarse mesh looks like a scan. No Blender here."""

import numpy as np

MAX_SAMPLES = 2_000_000
GOLDEN = np.array([0.7548776662466927, 0.5698402909980532])  # Roberts (2018), R2 low-discrepancy sequence


def sample_faces(
    positions: np.ndarray, triangles: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deterministic points on all triangles with a side longer than `spacing`, about one per `spacing` squared.

    Args:
        positions: float32 (N, 3) metres.
        triangles: int (T, 3) vertex indices.
        spacing: metres; half the voxel size.
    Returns:
        points float32 (S, 3), triangle int64 (S,) each came from, and weights float32 (S, 3): its barycentric
        coordinates there.
    Raises:
        ValueError: more than two million points would be needed; the text says so.
    """
    corners = positions[triangles].astype(np.float64)
    edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], corners[:, 2] - corners[:, 1]])
    longest = np.sqrt((edges**2).sum(axis=2)).max(axis=0)
    area = 0.5 * np.linalg.norm(np.cross(edges[0], edges[1]), axis=1)
    large = np.flatnonzero((longest > spacing) & np.isfinite(area))
    counts = np.maximum(1, np.ceil(area[large] / spacing**2)).astype(np.int64)
    total = int(counts.sum())
    if total > MAX_SAMPLES:
        raise ValueError(f"{total:,} points would have to be sampled on the faces")
    triangle = np.repeat(large, counts)
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    square = (0.5 + (within[:, None] + 1) * GOLDEN) % 1.0
    folded = square.sum(axis=1) > 1
    square[folded] = 1 - square[folded]
    weights = np.column_stack([1 - square.sum(axis=1), square])
    points = (corners[triangle] * weights[:, :, None]).sum(axis=1)
    return points.astype(np.float32), triangle, weights.astype(np.float32)


def to_vertices(
    values: np.ndarray, count: int, triangles: np.ndarray, triangle: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Probabilities of all points (vertices first, then samples) as probabilities of the vertices.

    A vertex weighs in itself and the samples that lie next to it (in whose triangle it has the largest share), so that
    one corner of a coarse mesh does not hang on one point.

    Args:
        values: uint8 (count + S,).
    Returns:
        uint8 (count,).
    """
    if len(values) == count:
        return values
    corner = triangles[triangle, np.argmax(weights, axis=1)]
    total = values[:count].astype(np.float64) * 2
    total += np.bincount(corner, weights=values[count:], minlength=count)
    share = 2 + np.bincount(corner, minlength=count)
    return np.round(total / share).astype(np.uint8)
