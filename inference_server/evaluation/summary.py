"""From per-object results to the figures of the paper's tables."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from .classes import ClassList
from .metrics import (
    AP_THRESHOLDS,
    COUNTS,
    TARGETS,
    Proposal,
    average_precision,
    clicks_to_reach,
    interval,
)
from .objects import ObjectResult

RANKINGS = ("probability", "agile3d")


def summarise(results: Sequence[ObjectResult], classes: ClassList, ranking: str = "probability") -> dict:
    """All figures: fractions for IoU and AP, clicks for NoC; see docs/evaluation.md for the keys.

    ranking: proposals ordered by mean foreground probability, or as AGILE3D by the true IoU.
    """
    groups = {"all": list(results)}
    named = [result for result in results if result.class_name is not None]
    if any(classes.is_structure(result.class_name) for result in named):
        groups["without structure"] = [r for r in results if not classes.is_structure(r.class_name)]
        groups["structure"] = [r for r in results if classes.is_structure(r.class_name)]
    if classes.seen is not None:
        groups["seen"] = [r for r in named if classes.is_seen(r.class_name)]
        groups["unseen"] = [r for r in named if not classes.is_seen(r.class_name)]
    groups = {name: members for name, members in groups.items() if members}
    return {
        "groups": {name: figures(members) for name, members in groups.items()},
        "by_class": {name: figures(members) for name, members in _grouped(named, lambda r: r.class_name).items()},
        "by_scene": {name: scene_figures(members) for name, members in _grouped(results, lambda r: r.scene).items()},
        "clicks_per_scene": {
            f"NoC@{target * 100:.0f}": float(
                np.mean(
                    [
                        sum(clicks_to_reach(r.ious, target) for r in members)
                        for members in _grouped(results, lambda r: r.scene).values()
                    ]
                )
            )
            for target in TARGETS
        },
        "ap_ranking": ranking,
        "ap": {
            name: ap_by_clicks(members, ranking)
            for name, members in groups.items()
            if name in ("all", "seen", "unseen", "without structure")
        },
        "seconds_per_click": seconds(results),
        "ended_early": [
            {"scene": r.scene, "object": r.object, "clicks": len(r.clicks), "why": r.ended} for r in results if r.ended
        ],
    }


def figures(results: Sequence[ObjectResult]) -> dict:
    """Means over objects, their 95 % bootstrap intervals, and the share that reached each target."""
    curves = np.array([result.ious for result in results])
    values: dict[str, np.ndarray] = {}
    for target in TARGETS:
        values[f"NoC@{target * 100:.0f}"] = np.array([clicks_to_reach(curve, target) for curve in curves])
    for count in COUNTS:
        if count <= curves.shape[1]:
            values[f"IoU@{count}"] = curves[:, count - 1]
    reached = {f"reached@{target * 100:.0f}": float((curves[:, :20] >= target).any(1).mean()) for target in TARGETS}
    return {
        "objects": len(results),
        **{name: float(per_object.mean()) for name, per_object in values.items()},
        **reached,
        "intervals": {name: interval(per_object) for name, per_object in values.items()},
        "iou_by_clicks": curves.mean(0).tolist(),
    }


def scene_figures(results: Sequence[ObjectResult]) -> dict:
    """Objects of one scene, all clicks it takes to bring each to a target, and mean IoUs."""
    curves = [result.ious for result in results]
    return {
        "objects": len(results),
        **{
            f"clicks to {target * 100:.0f}": sum(clicks_to_reach(curve, target) for curve in curves)
            for target in TARGETS
        },
        **{
            f"IoU@{count}": float(np.mean([curve[count - 1] for curve in curves]))
            for count in COUNTS
            if count <= len(curves[0])
        },
    }


def ap_by_clicks(results: Sequence[ObjectResult], ranking: str) -> dict[str, dict[str, float]]:
    """AP (mean over IoU 0.50:0.05:0.95), AP50 and AP25 after each number of clicks in COUNTS."""
    scenes = list(_grouped(results, lambda r: r.scene).values())
    table = {}
    for count in COUNTS:
        if count > len(results[0].ious):
            continue
        dealt = []
        for members in scenes:
            identities = [result.object for result in members]
            dealt.append((identities, [_proposal(result, count, ranking, identities) for result in members]))
        by_threshold = [average_precision(dealt, threshold) for threshold in AP_THRESHOLDS]
        table[str(count)] = {
            "AP": float(np.mean(by_threshold)),
            "AP50": by_threshold[0],
            "AP25": average_precision(dealt, 0.25),
        }
    return table


def _proposal(result: ObjectResult, count: int, ranking: str, identities: Sequence[int]) -> Proposal:
    last = min(count, len(result.clicks)) - 1
    confidence = result.ious[last] if ranking == "agile3d" else result.confidences[last]
    known = set(identities)
    return Proposal(confidence, {key: value for key, value in result.overlaps[last].items() if key in known})


def seconds(results: Sequence[ObjectResult]) -> dict[str, float]:
    """Median, mean and 95th percentile of the wall time of `predict`, first calls included."""
    times = np.concatenate([result.seconds for result in results])
    return {
        "median": float(np.median(times)),
        "mean": float(times.mean()),
        "p95": float(np.percentile(times, 95)),
    }


def _grouped(
    results: Sequence[ObjectResult], key: Callable[[ObjectResult], str | None]
) -> dict[str, list[ObjectResult]]:
    groups = defaultdict(list)
    for result in results:
        groups[key(result)].append(result)
    return dict(sorted(groups.items()))
