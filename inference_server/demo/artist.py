"""The scripted artist: clicks an object until it is good by the labels, or as a file says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from inference_server.evaluation.metrics import iou
from inference_server.simulation import ClickSimulator
from inference_server.wire.protocol import Click

from .tasks import Task, unpacked

FEWEST, MOST = 5, 10
GOOD = 0.9
"""IoU at which the artist goes on to the next object, after the fewest clicks."""


@dataclass
class Outcome:
    """What came of one object: IoU (empty without labels) and seconds of every click, its mask (N,) bool."""

    name: str
    iou: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    clicks: list[Click] = field(default_factory=list)
    mask: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    voxel_size: float = 0.0

    @property
    def vertices(self) -> int:
        """Size of the mask."""
        return int(self.mask.sum())


Press = Callable[[Click], dict]
"""Carries out a click; the answer has the mask as text (`tasks.packed`), the seconds and the voxel size."""


def work_on(task: Task, press: Press, simulator: ClickSimulator, count: int) -> Iterator[Outcome]:
    """Click one object; yields after every click. count: vertices of the scan."""
    outcome = Outcome(task.name, mask=np.zeros(count, bool))
    while (click := _next_click(task, simulator, outcome)) is not None:
        answer = press(click)
        outcome.mask = unpacked(answer["mask"], count)
        outcome.clicks.append(click)
        outcome.seconds.append(answer["seconds"])
        outcome.voxel_size = answer["voxel_size"]
        if task.truth is not None:
            outcome.iou.append(iou(task.truth, outcome.mask))
        yield outcome


def _next_click(task: Task, simulator: ClickSimulator, outcome: Outcome) -> Click | None:
    """The file's next click, or the paper's: in the middle of the largest error, 5 to 10. None = done."""
    given = len(outcome.clicks)
    if task.truth is None:
        return task.clicks[given] if given < len(task.clicks) else None
    if given >= MOST or (given >= FEWEST and outcome.iou[-1] >= GOOD):
        return None
    return simulator.next_click(task.truth, outcome.mask)
