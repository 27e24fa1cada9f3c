"""IoU, NoC, AP and their intervals. All are fractions, not percent."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TARGETS = (0.80, 0.85, 0.90)
"""IoUs of NoC@80/85/90."""
COUNTS = (1, 2, 3, 5, 10, 15, 20)
"""Clicks of IoU@k."""
AP_THRESHOLDS = tuple(np.round(np.arange(0.50, 0.96, 0.05), 2).tolist())


def iou(truth: np.ndarray, mask: np.ndarray) -> float:
    """Intersection over union of two (N,) bool masks; 0 where both are empty."""
    union = np.count_nonzero(truth | mask)
    return np.count_nonzero(truth & mask) / union if union else 0.0


def clicks_to_reach(curve: Sequence[float], target: float, cap: int = 20) -> int:
    """NoC of one object: the first click after which IoU >= target, at most `cap` (also where never reached).

    curve[k - 1] is the IoU after k clicks.
    """
    for clicks, value in enumerate(curve[:cap], 1):
        if value >= target:
            return clicks
    return min(cap, len(curve))


def interval(values: np.ndarray, samples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval (percentiles 2.5 and 97.5) of the mean of values (M,)."""
    values = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(0, len(values), (samples, len(values)))
    low, high = np.percentile(values[draws].mean(1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Proposal:
    """One predicted mask of a scene: what ranks it, and its IoU with each object that it meets."""

    confidence: float
    overlaps: dict[int, float]


def average_precision(scenes: Sequence[tuple[Sequence[int], Sequence[Proposal]]], threshold: float) -> float:
    """Class-agnostic AP at one IoU threshold over scenes of (ground-truth ids, proposals).

    Matching and integration as in ScanNet's benchmark script: an object is found by every proposal with
    IoU > threshold, the most confident one counts, the others are false; precision is integrated over recall
    with central steps. NaN where there are no objects.
    """
    right, scores, missed = [], [], 0
    for objects, proposals in scenes:
        used = set()
        for identity in objects:
            finders = [
                i for i, p in enumerate(proposals) if i not in used and p.overlaps.get(identity, 0.0) > threshold
            ]
            used.update(finders[:1])  # the others may find another object, below an IoU of 0.5
            found = sorted((proposals[i].confidence for i in finders), reverse=True)
            missed += not found
            right += [True, *[False] * (len(found) - 1)] if found else []
            scores += found
        lost = [p.confidence for p in proposals if not any(value > threshold for value in p.overlaps.values())]
        right += [False] * len(lost)
        scores += lost
    if not any(len(objects) for objects, _ in scenes):
        return float("nan")
    return _area(np.array(right, bool), np.array(scores, float), missed)


def _area(right: np.ndarray, scores: np.ndarray, missed: int) -> float:
    if not right.any():
        return 0.0
    order = np.argsort(scores, kind="stable")
    right, scores = right[order], scores[order]
    below = np.concatenate([[0], np.cumsum(right)])
    _, firsts = np.unique(scores, return_index=True)  # a threshold at each score: all from there on are kept
    hits = right.sum() - below[firsts]
    precision = np.append(hits / (len(right) - firsts), 1.0)
    recall = np.append(hits / (right.sum() + missed), 0.0)
    steps = np.convolve(np.concatenate([[recall[0]], recall, [0.0]]), [-0.5, 0, 0.5], "valid")
    return float(np.dot(precision, steps))
