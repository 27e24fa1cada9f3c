"""Clicking the objects of a scan one after another: the inner loop of the evaluation."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from inference_server.data.scans import Scan
from inference_server.errors import TooFarApart, UserError
from inference_server.predictor import Prediction
from inference_server.simulation import ClickSimulator
from inference_server.wire.clicks import NEAR, in_steps
from inference_server.wire.protocol import Click

from .metrics import iou

DONE = 0.9
"""IoU at which an artist leaves an object, and gives no more clicks that others could be told of."""
MATCHABLE = 0.25
"""Smallest IoU with another object that is worth keeping: below, no AP threshold is met."""


class Method(Protocol):
    """What the evaluation needs of a Predictor or a baseline."""

    def set_scene(self, positions: np.ndarray, colors: np.ndarray | None, voxel_size: float) -> None: ...

    def predict(self, clicks: Sequence[Click]) -> Prediction: ...


@dataclass
class ObjectResult:
    """One object's clicks and what came of them; lists have one entry per click that was given.

    ious are padded with the last value where no error was left, or where no further click could be looked at (`ended`
    says why). confidences: mean probability on the mask. overlaps: for each click, IoU by instance id with every object
    met (see MATCHABLE), its own included. seconds: wall time of `predict`. mask: (N,) bool after the last click, of the
    points that were evaluated.
    """

    scene: str
    object: int
    class_name: str | None
    points: int
    ious: list[float] = field(default_factory=list)
    confidences: list[float] = field(default_factory=list)
    overlaps: list[dict[int, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    ended: str = ""
    mask: np.ndarray | None = None


def choose_objects(scan: Scan, min_points: int = 10, every: int = 1) -> list[int]:
    """Instance ids >= 0 with at least `min_points` points, largest first (equal sizes: smaller id first).

    every: of this list the first, then each every-th. Raises UserError where the scan has no labels.
    """
    if scan.instance is None:
        raise UserError(
            f"{scan.name} has no instance labels: it needs an integer 'instance' vertex property, -1 = unlabelled."
        )
    ids, counts = np.unique(scan.instance[scan.instance >= 0], return_counts=True)
    order = np.lexsort((ids, -counts))
    return [int(ids[i]) for i in order if counts[i] >= min_points][::every]


def object_class(scan: Scan, identity: int, semantic_names: dict[int, str] | None = None) -> str | None:
    """Class name of an instance: its own name, else that of the semantic label most of its points have."""
    if identity in scan.names:
        return scan.names[identity]
    if scan.semantic is None:
        return None
    labels = scan.semantic[scan.instance == identity]
    labels = labels[labels >= 0]
    if not len(labels):
        return None
    label = int(np.bincount(labels).argmax())
    return (semantic_names or {}).get(label, f"class {label}")


class SceneTrial:
    """One scan with its click simulator and a method that has seen it; objects are tried one by one.

    crop: edge in metres of the released code's square around the object's box centre (x and y, all z), or
    None for the whole scan. cube_override: as the released code, points in a click's cube get the click's
    label.
    """

    def __init__(
        self,
        method: Method,
        scan: Scan,
        voxel_size: float,
        crop: float | None = None,
        cube_override: bool = False,
    ) -> None:
        self._method, self._scan, self._voxel_size = method, scan, voxel_size
        self._crop, self._cube_override = crop, cube_override
        if crop is None:
            self._view = scan
            self._simulator = ClickSimulator(scan.positions)
            method.set_scene(scan.positions, scan.colors, voxel_size)

    def run(
        self, identity: int, clicks: int, class_name: str | None = None, others: Sequence[Click] = ()
    ) -> ObjectResult:
        """Click object `identity` up to `clicks` times; where no error is left the IoU carries over.

        others: clicks on other objects; those near by are told as negative clicks with the object's own.
        """
        if self._crop is not None:
            self._view = crop_around(self._scan, identity, self._crop)
            self._simulator = ClickSimulator(self._view.positions)
            self._method.set_scene(self._view.positions, self._view.colors, self._voxel_size)
        truth = self._view.instance == identity
        result = ObjectResult(self._scan.name, identity, class_name, int(truth.sum()))
        mask = np.zeros(len(truth), bool)
        for _ in range(clicks):
            click = self._simulator.next_click(truth, mask)
            if click is None:
                break
            result.clicks.append(click)
            start = time.perf_counter()
            steps = ([click] for click in result.clicks)
            try:
                prediction = self._method.predict(in_steps(steps, others, NEAR * self._voxel_size))
            except TooFarApart as error:
                if not result.ious:
                    raise
                result.clicks.pop()
                result.ended = str(error)
                break
            result.seconds.append(time.perf_counter() - start)
            mask = np.asarray(prediction.mask, bool)
            if self._cube_override:
                mask = override_cubes(mask, self._view.positions, result.clicks, self._voxel_size)
            result.ious.append(iou(truth, mask))
            result.confidences.append(_confidence(mask, prediction.probabilities))
            result.overlaps.append(overlaps(mask, self._view.instance))
        result.ious += [result.ious[-1]] * (clicks - len(result.ious))
        result.mask = mask
        return result


def given_until_done(result: ObjectResult) -> list[Click]:
    """The positive clicks that an artist gave on an object until its IoU was DONE."""
    count = next((count for count, value in enumerate(result.ious, 1) if value >= DONE), len(result.clicks))
    return [click for click in result.clicks[:count] if click.positive]


def crop_around(scan: Scan, identity: int, edge: float) -> Scan:
    """The points within edge / 2 in x and y of the middle of the object's bounding box; all z.

    Where none of the object is in there, as of the walls around a wide room, its point nearest to the middle is taken.
    """
    own = scan.positions[scan.instance == identity, :2].astype(np.float64)
    middle = (own.min(0) + own.max(0)) / 2
    off = np.abs(own - middle).max(1)
    if off.min() > edge / 2:
        middle = own[off.argmin()]
    kept = (np.abs(scan.positions[:, :2] - middle) <= edge / 2).all(1)
    colors = None if scan.colors is None else scan.colors[kept]
    return Scan(scan.positions[kept], colors, scan.instance[kept], None, scan.names, scan.name, scan.offset)


def override_cubes(mask: np.ndarray, positions: np.ndarray, clicks: Sequence[Click], half_edge: float) -> np.ndarray:
    """The mask with every point in a click's axis-aligned cube set to its label, negative clicks winning."""
    mask = mask.copy()
    for click in sorted(clicks, key=lambda click: not click.positive):
        mask[(np.abs(positions - np.float32(click.position)) < half_edge).all(1)] = click.positive
    return mask


def overlaps(mask: np.ndarray, instance: np.ndarray) -> dict[int, float]:
    """IoU of a mask (N,) bool with each instance id >= 0 of labels (N,), where it exceeds MATCHABLE."""
    labels, sizes = np.unique(instance, return_counts=True)
    shared = np.bincount(np.searchsorted(labels, instance[mask]), minlength=len(labels))
    values = shared / (sizes + np.count_nonzero(mask) - shared)
    return {
        int(label): float(value)
        for label, value in zip(labels, values, strict=True)
        if label >= 0 and value > MATCHABLE
    }


def _confidence(mask: np.ndarray, probabilities: np.ndarray) -> float:
    return float(probabilities[mask].mean()) / 255 if mask.any() else 0.0
