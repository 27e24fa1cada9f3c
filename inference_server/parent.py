"""Worker processes that end with the one that started them, however that ends."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process


def end_with_parent() -> None:
    """From now on this process is gone as soon as its parent is: one that was killed can't end its workers itself."""
    threading.Thread(target=_watch, daemon=True, name="scanpick-parent").start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def shut_down(pool: ProcessPoolExecutor) -> None:
    """Let a pool finish what is under way, and nothing more; interrupted while it does, its processes are ended."""
    try:
        pool.shutdown(cancel_futures=True)
    except KeyboardInterrupt:
        for process in active_children():
            process.terminate()
        raise


@contextmanager
def worker_pool(
    workers: int, what: str, start: Callable | None = None, arguments: tuple = ()
) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes for a block of work; what has not begun at its end, or at Ctrl+C, is dropped.

    what: the pieces of work, for the sentence that answers Ctrl+C. start: called with the arguments in each process
    first.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (start, arguments))
    try:
        yield pool
    except KeyboardInterrupt:
        print(f"Finishing the {what} under way; Ctrl+C again stops at once.", file=sys.stderr)
        raise
    finally:
        shut_down(pool)


def obey_parent() -> None:
    """From now on this process ends with its parent, and only then: Ctrl+C is for the parent, which ends this one."""
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _start(start: Callable | None, arguments: tuple) -> None:
    obey_parent()
    if start is not None:
        start(*arguments)
