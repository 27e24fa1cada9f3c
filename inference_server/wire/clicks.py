"""Clicks on other objects, told as negative clicks: what belongs to another object does not belong to this one.

Measured in the evaluation (`--other-clicks`) and done by the add-on, by this one rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from .protocol import Click

NEAR, MOST_OTHERS = 20, 8
"""Clicks of other objects that are told: at most so many, within so many voxels of the object's own."""


def in_steps(steps: Iterable[Sequence[Click]], others: Sequence[Click] = (), reach: float = 0.0) -> list[Click]:
    """An object's clicks in order: those of a step, given in one action, are joined.

    A step begins with the clicks on other objects within `reach` metres of it that were not told before, as negatives,
    MOST_OTHERS in all, the nearest first. What was told once stays where it is, so that a further step only adds.
    """
    clicks: list[Click] = []
    left = dict(enumerate(others))
    for step in steps:
        own = np.array([click.position for click in step])
        away = {i: float(np.linalg.norm(own - click.position, axis=1).min()) for i, click in left.items()}
        near = sorted((i for i in left if away[i] <= reach), key=away.__getitem__)
        still = MOST_OTHERS - (len(others) - len(left))
        told = [replace(left.pop(i), positive=False) for i in near[:still]]
        clicks += [replace(click, joined=place > 0) for place, click in enumerate([*told, *step])]
    return clicks
