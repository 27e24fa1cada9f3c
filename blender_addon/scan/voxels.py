"""Proposing a working voxel size from a scan's point spacing and extent, and noticing wrong units. No Blender here."""

from dataclasses import dataclass

import numpy as np

from ..wire.requests import LARGEST_VOXEL, SMALLEST_VOXEL

ROOM_VOXEL = 0.05
ROOM_EXTENT = 3.0
PAIRS = 8_000_000
POINTS_PER_VOXEL_SIDE = 1.4
RESCALED = 2.0  # times larger or smaller from which a scan has another scale: units differ by more, 2.54 the least
STEPS = (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


@dataclass(frozen=True)
class Proposal:
    """`voxel_size`, `spacing`, `extent` (longest side, outliers left out) in metres; `warning` is "" or a sentence."""

    voxel_size: float
    spacing: float
    extent: float
    warning: str


def round_up(size: float) -> float:
    """The next size a person would choose: 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten."""
    if not np.isfinite(size) or size <= 0:
        return ROOM_VOXEL
    power = 10.0 ** np.floor(np.log10(size))
    for step in STEPS:
        if size <= step * power * 1.0001:
            return float(f"{step * power:.6g}")
    return float(f"{10 * power:.6g}")


def point_spacing(positions: np.ndarray) -> float:
    """Median distance to the nearest other point (metres), over a fixed sample of points. 0 if all coincide.

    Points that coincide with others are passed over. Of scans too large for that, the distances are taken within a
    random part of the points and scaled by its share, as on a surface.
    """
    cloud = positions
    share = 1.0
    if len(cloud) > 1_500_000:
        chosen = np.random.default_rng(0).integers(0, len(cloud), 1_000_000)
        share = chosen.size / len(cloud)
        cloud = cloud[chosen]
    if len(cloud) < 2:
        return 0.0
    queries = cloud[np.linspace(0, len(cloud) - 1, max(8, min(200, PAIRS // len(cloud)))).astype(np.int64)]
    axes = np.ascontiguousarray(cloud.T)  # numpy goes over long rows many times faster than over three columns
    nearest = []
    for query in queries:
        squared = sum((axis - place) ** 2 for axis, place in zip(axes, query, strict=True))
        others = squared[squared > 0]
        if others.size:
            nearest.append(float(others.min()) ** 0.5)
    return float(np.median(nearest)) * share**0.5 if nearest else 0.0


def propose(positions: np.ndarray) -> Proposal:
    """A voxel size for a scan: 5 cm for rooms and larger, a hundredth of the extent for smaller things, and not so
    small against the point spacing that voxels stay empty; within what the server takes.

    Args:
        positions: float32 (N, 3) in metres, finite.
    """
    low, high = robust_box(positions)
    sides = high - low
    extent = float(sides.max()) if len(positions) else 0.0
    spacing = point_spacing(positions)
    wanted = ROOM_VOXEL if extent >= ROOM_EXTENT else extent / 100
    size = round_up(max(wanted, POINTS_PER_VOXEL_SIDE * spacing)) if extent > 0 else ROOM_VOXEL
    size = min(max(size, SMALLEST_VOXEL), LARGEST_VOXEL)
    return Proposal(size, spacing, extent, units_warning(extent))


def working_size(proposal: Proposal, chosen: float, chosen_for: float) -> float:
    """The voxel size to work with, in metres: the chosen one; the proposed one where none is, or where the chosen one
    was a proposal and the scan has another scale since.

    Args:
        chosen: metres, 0 for none.
        chosen_for: extent of the scan that it was proposed for, in metres, 0 where the artist chose it.
    """
    rescaled = chosen_for > 0 and not 1 / RESCALED < proposal.extent / chosen_for < RESCALED
    return proposal.voxel_size if rescaled or not chosen else chosen


def robust_box(positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners (3,), (3,) of the box around the points without the outermost 0.5 % on each side."""
    if not len(positions):
        return np.zeros(3), np.zeros(3)
    step = max(1, len(positions) // 200_000)
    low, high = np.percentile(positions[::step], [0.5, 99.5], axis=0)
    return low, high


def units_warning(extent: float) -> str:
    """One sentence where the scan's units look wrong, else ""."""
    if extent >= 200:
        return (
            f"This scan is {extent:,.0f} m across: if it is a room, its units are wrong. "
            "Scale the object (for millimetres by 0.001), or set the voxel size by hand."
        )
    if 0 < extent < 0.05:
        return (
            f"This scan is {extent * 1000:.2g} mm across: if it is larger in reality, its units are wrong. "
            "Scale the object, or set the voxel size by hand."
        )
    return ""
