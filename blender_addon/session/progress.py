"""Progress at the mouse pointer, for work that holds the window up: nothing else of it is drawn meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import bpy


@contextmanager
def shown() -> Iterator[Callable[[float], None]]:
    """Hands out a function that tells the share that is done, 0 to 1. Nothing is shown before its first call, and
    nothing is left of it after the block, whatever happens there."""
    manager = bpy.context.window_manager
    begun = False

    def tell(share: float) -> None:
        nonlocal begun
        if not begun:
            manager.progress_begin(0, 100)
            begun = True
        manager.progress_update(share * 100)

    try:
        yield tell
    finally:
        if begun:
            manager.progress_end()
