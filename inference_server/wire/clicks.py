"""Clicks on other objects, told as negative clicks: what belongs to another object does not belong to this one.

Measured in the evaluation (`--other-clicks`) and done by the add-on, by this one rule.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .protocol import Click

NEAR, MOST_OTHERS = 20, 8
"""Clicks of other objects that are told: at most so many, within so many voxels of the object's own."""


def negatives_near(clicks: Sequence[Click], others: Sequence[Click], reach: float) -> list[Click]:
    """Of clicks on other objects the MOST_OTHERS nearest within `reach` metres of an object's own, as negatives."""
    if not clicks or not others:
        return []
    own = np.array([click.position for click in clicks])
    away = np.array([np.linalg.norm(own - click.position, axis=1).min() for click in others])
    order = [i for i in np.argsort(away, kind="stable")[:MOST_OTHERS] if away[i] <= reach]
    return [replace(others[i], positive=False) for i in sorted(order)]
