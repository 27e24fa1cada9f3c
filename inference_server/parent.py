"""Worker processes that end with the one that started them, however that ends."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import active_children, get_context, parent_process

from .errors import UserError


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
    finished = threading.Event()

    def finish() -> None:
        try:
            pool.shutdown(cancel_futures=True)
        finally:
            finished.set()

    # not waited for by join: interrupted in one, Python takes a thread that goes on for ended, and may hang at its exit
    threading.Thread(target=finish, daemon=True, name="scanpick-shut-down").start()
    try:
        while not finished.wait(0.1):
            pass
    except KeyboardInterrupt:
        for process in active_children():
            process.terminate()
        finished.wait(10)
        raise


@contextmanager
def noticing_deaths(way_out: str) -> Iterator[None]:
    """Raise UserError, with the way out, where a pool of the block breaks since one of its processes died."""
    try:
        yield
    except BrokenProcessPool as error:
        raise UserError(f"A worker process died, most likely for want of memory: {way_out}.") from error


@contextmanager
def worker_pool(
    workers: int,
    what: str,
    start: Callable | None = None,
    arguments: tuple = (),
    way_out: str = "run it again with fewer --workers",
) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes for a block of work; what has not begun at its end, or at Ctrl+C, is dropped.

    what: the pieces of work, for the sentence that answers Ctrl+C. start: called with the arguments in each process
    first. way_out: of the UserError where a process dies.
    """
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (start, arguments))
    try:
        with noticing_deaths(way_out):
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
