"""A network that runs out of memory on a region runs on it piece by piece."""

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from .errors import is_out_of_memory
from .models.points import Points

OVERLAP = 1.0
"""Metres (at the trained scale) that a piece sees of its neighbour, so that a cut does not look like a scan's edge."""
SMALLEST = 2.0
"""Metres; what is narrower than this is not cut any more."""

Run = Callable[[Points, Tensor], Tensor]
"""Points (V, 3) and their features (V, C) -> a score for each (V,)."""


def run_or_cut(run: Run, points: Points, features: Tensor) -> Tensor:
    """Scores (V,) of points in one run, or in halves, quarters ... where there is not memory enough.

    What a piece cannot see beyond its overlap it does not know, so near a cut scores may differ a little from those of
    one run. Raises what `run` raised where even the smallest pieces are too large.
    """
    try:
        return run(points, features)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        too_large = error.with_traceback(None)  # the traceback holds on to what was allocated
    release_memory()
    xyz = points.xyz
    extent = xyz[:, :2].amax(0) - xyz[:, :2].amin(0)
    axis = int(extent.argmax())
    if float(extent[axis]) < SMALLEST:
        raise too_large
    cut = xyz[:, axis].amin() + extent[axis] / 2
    scores = features.new_empty(len(points), dtype=torch.float32)
    for own, seen in (
        (xyz[:, axis] < cut, xyz[:, axis] < cut + OVERLAP),
        (xyz[:, axis] >= cut, xyz[:, axis] >= cut - OVERLAP),
    ):
        piece = run_or_cut(run, Points(xyz[seen]), features[seen])
        scores[own] = piece[own[seen]].to(scores.dtype)
    return scores


def release_memory() -> None:
    """Give back what Python and the device's allocator keep without need."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
