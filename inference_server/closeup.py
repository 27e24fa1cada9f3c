"""A closer look at what turned out to be small: the network once more, on finer voxels around the clicks.

A book is half a voxel thick where a wall is a hundred wide. Both looks have their say in the answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from .boxes import box_around
from .history import Sight, steps_before
from .models.points import TRAINED_VOXEL
from .scene import Region, RegionCache, Scene
from .wire.protocol import Click

FINER = ((0.5, 0.4), (1.2, 0.6))
"""Largest extent of an object in metres, and the width of voxels for a closer look at it, as a share of the scan's own;
like all lengths here at voxels of 5 cm (docs/training.md has the trials)."""
FIRST_FINER = ((0.5, 0.6),)
"""The same after the first click, whose mask may be a small part of something large."""
CLOSE_REGION, CLOSE_MARGIN = 3.0, 1.2
"""Edge in metres of the square that the network sees at first, and what it sees around each click at the least; as if
the finer voxels were 5 cm wide."""
SLACK = 0.6
"""Metres around that square in which clicks are in sight."""
DENSE = 0.5
"""Points that an object must have for each voxel that its surface would have."""
FINEST = 0.015
"""Metres: finer voxels show a depth camera's noise, and the networks were not trained on them."""
MOST_POINTS = 2_000_000
"""Points that are sorted for a closer look; a scan that is denser has its own voxels."""
CLOSEUP_BYTES = 64_000_000
"""Memory for close-ups of all scans of a predictor together."""


@dataclass(frozen=True)
class Closeup:
    """A part of a scan on finer voxels.

    scene: the part, in metres from the scan's own origin; indices, ranks: (N,) the given index in the scan of each of
    its points, and its place in the scan's voxel order; voxels: (V,) the scan's voxel that each of its voxels lies in.
    """

    scene: Scene
    indices: np.ndarray
    ranks: np.ndarray
    voxels: np.ndarray

    @classmethod
    def of(cls, scene: Scene, sight: Sight, regions: RegionCache) -> "Closeup":
        """The part of a scan in sight."""
        runs = scene.runs_inside(sight.box)
        ranks = np.concatenate([np.arange(*scene.starts[list(run)], dtype=scene.order.dtype) for run in runs])
        colors = None if scene.colors is None else scene.colors[ranks]
        part = Scene(scene.points[ranks], colors, scene.voxel_size * sight.share, regions)
        first = ranks[part.order[part.starts[:-1]]]
        voxels = (np.searchsorted(scene.starts, first, side="right") - 1).astype(np.int32)
        return cls(part, scene.order[ranks], ranks, voxels)

    @property
    def bytes(self) -> int:
        return self.scene.bytes + self.indices.nbytes + self.ranks.nbytes + self.voxels.nbytes


def sight_of(scene: Scene, clicks: Sequence[Click], region: Region, scores: Tensor) -> Sight | None:
    """What to look at closer after an answer of log-odds (V,) to clicks; None where that is of no use.

    The sight hangs on the size of the object and its first positive click, so that clicks that follow share it.
    """
    inside = scores > 0
    if not inside.any():
        return None
    xyz, dense = region.points.xyz[inside], float(region.counts[inside].float().mean())
    extent = float((xyz.amax(0) - xyz.amin(0)).max()) + TRAINED_VOXEL
    finer = FINER if steps_before(clicks) else FIRST_FINER
    fitting = (share for largest, share in finer if extent < largest and dense * share**2 >= DENSE)
    share = next((share for share in fitting if share * scene.voxel_size >= FINEST), None)
    if share is None:
        return None
    first = next(click for click in clicks if click.positive)
    box = box_around(scene, np.array([first.position]), CLOSE_REGION * share + 2 * SLACK, margin=0, step=0)
    points = sum(int(scene.starts[stop] - scene.starts[start]) for start, stop in scene.runs_inside(box))
    return Sight(box, share) if 0 < points <= MOST_POINTS else None


def clicks_in_sight(scene: Scene, sight: Sight, clicks: Sequence[Click]) -> list[Click] | None:
    """The clicks as a close-up has them, without negative ones out of sight; None where a positive one is."""
    positions = np.array([click.position for click in clicks])
    seen = scene.is_inside(sight.box, positions)
    if not all(seen[place] for place, click in enumerate(clicks) if click.positive):
        return None
    return [
        replace(click, position=tuple(position), vertex=-1)
        for click, position, is_seen in zip(clicks, (positions - scene.origin).tolist(), seen, strict=True)
        if is_seen
    ]
