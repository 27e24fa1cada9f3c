"""Which objects of which scenes are to be clicked, and how the work is dealt out."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from inference_server.data.scans import Scan
from inference_server.errors import UserError

from .classes import ClassList
from .objects import choose_objects, object_class
from .settings import Settings
from .sources import SceneSource


@dataclass(frozen=True)
class Task:
    """Objects of one scene for one process: instance ids with their class names."""

    source: SceneSource
    objects: tuple[tuple[int, str | None], ...]


@dataclass
class Plan:
    """Tasks, one per scene, and what was left out of them."""

    tasks: list[Task]
    instances: int = 0
    too_small: int = 0
    points: int = 0
    unlabelled: int = 0
    no_scans: list[str] = field(default_factory=list)
    """Why files of a folder are not among the tasks, a sentence for each."""

    @property
    def objects(self) -> int:
        """Objects to be clicked."""
        return sum(len(task.objects) for task in self.tasks)

    def facts(self) -> dict[str, int]:
        """What the plan covers, for the summary: nothing is left out silently."""
        return {
            "scenes": len(self.tasks),
            "instances": self.instances,
            "left_out_too_few_points": self.too_small,
            "left_out_by_every": self.instances - self.too_small - self.objects,
            "points": self.points,
            "unlabelled_points": self.unlabelled,
            "left_out_no_labelled_scans": len(self.no_scans),
        }


def load(source: SceneSource, settings: Settings) -> Scan:
    """A scene as the method is to see it. Raises UserError."""
    scan = source.load()
    return replace(scan, colors=None) if settings.colourless else scan


def make_plan(
    sources: Iterable[SceneSource], settings: Settings, classes: ClassList, needs_colour: bool = False
) -> Plan:
    """Load each scene once and list its objects. Raises UserError for scans without labels or objects, or without the
    colours that the method needs; files that only lie in a folder with others are left out then."""
    plan = Plan([])
    for source in sources:
        try:
            scan = load(source, settings)
            everything = choose_objects(scan, min_points=1)
            if needs_colour and scan.colors is None:
                raise UserError(f"{source.name} has no colours, which the weights '{settings.weights}' need.")
        except UserError as error:
            if source.asked_for:
                raise
            plan.no_scans.append(str(error))
            continue
        usable = choose_objects(scan, settings.min_points)
        chosen = usable[:: settings.every]
        plan.instances += len(everything)
        plan.too_small += len(everything) - len(usable)
        plan.points += len(scan)
        plan.unlabelled += int(np.count_nonzero(scan.instance < 0))
        named = tuple((identity, object_class(scan, identity, classes.names)) for identity in chosen)
        plan.tasks.append(Task(source, named))
    if plan.no_scans and not plan.tasks:
        raise UserError(plan.no_scans[0])
    if not plan.objects:
        raise UserError(
            f"There is no object to evaluate: {plan.instances} instances, none with at least "
            f"{settings.min_points} points. Check the 'instance' labels or lower --min-points."
        )
    return plan


def split_tasks(tasks: list[Task], jobs: int) -> list[Task]:
    """The tasks, cut up where there are too few scenes to keep `jobs` processes busy to the end.

    Each piece takes every n-th object, so that large and small ones are shared out evenly.
    """
    parts = -(-3 * jobs // len(tasks)) if len(tasks) < 3 * jobs and jobs > 1 else 1
    return [
        Task(task.source, task.objects[part::parts]) for task in tasks for part in range(min(parts, len(task.objects)))
    ]
