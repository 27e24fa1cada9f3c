"""An object's clicks, step by step, with clicks on other objects told as negative ones: what belongs to another object
does not belong to this one.

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
    places = np.array([click.position for click in others]).reshape(-1, 3)
    told: list[int] = []
    for step in steps:
        own = np.array([click.position for click in step])
        away = np.linalg.norm(places[:, None] - own, axis=2).min(1)
        away[told] = np.inf
        near = [i for i in np.argsort(away, kind="stable")[: MOST_OTHERS - len(told)] if away[i] <= reach]
        told += near
        negatives = [replace(others[i], positive=False) for i in near]
        clicks += [replace(click, joined=place > 0) for place, click in enumerate([*negatives, *step])]
    return clicks
