"""Work on arrays in a thread, so that the window goes on; nothing of Blender may be touched in it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from ..scan.steps import Steps, T

PATIENCE = 0.004  # seconds that the main thread waits before it goes on to draw


def in_background(work: Callable[[], T]) -> Steps[T]:
    """Yields until `work` is done; returns what it returned, raises what it raised."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="scanpick")
    try:
        future = pool.submit(work)
        while not future.done():
            wait([future], PATIENCE)
            if not future.done():
                yield
        return future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
