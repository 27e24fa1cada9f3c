"""What the network said, kept in memory for the threshold slider: probabilities cost no second question."""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from .state import ObjectState

LIMIT = 256_000_000  # bytes


@dataclass(frozen=True)
class Answer:
    """`probabilities`: uint8 (N,) of every vertex. `timing`: seconds by stage."""

    probabilities: np.ndarray
    timing: dict[str, float]


class Answers:
    """Answers by what was asked, so that undo finds the one of the clicks that are left. The oldest go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple, Answer] = OrderedDict()

    def keep(self, data_uid: int, known: ObjectState, answer: Answer) -> None:
        key = _key(data_uid, known)
        self._kept[key] = answer
        self._kept.move_to_end(key)
        while len(self._kept) > 1 and sum(a.probabilities.nbytes for a in self._kept.values()) > LIMIT:
            self._kept.popitem(last=False)

    def of(self, data_uid: int, known: ObjectState) -> Answer | None:
        """The answer to the object's clicks as they are now."""
        return self._kept.get(_key(data_uid, known))

    def clear(self) -> None:
        self._kept.clear()


def _key(data_uid: int, known: ObjectState) -> tuple:
    return data_uid, known.number, *(press.entry for press in known.presses)
