"""Worker processes that end with the one that started them, however that ends."""

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """From now on this process is gone as soon as its parent is: one that was killed can't end its workers itself."""
    threading.Thread(target=_watch, daemon=True, name="scanpick-parent").start()


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
