"""Work in steps, between which the window goes on: generators that yield None while they work and return the answer."""

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """The answer, with the window waiting for it."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
