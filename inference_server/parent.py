"""Worker processes that end with the one that started them, however that ends."""

import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import active_children, parent_process


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
