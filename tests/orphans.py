"""Servers of tests end with the test run, also where that is killed and can't stop them."""

import os
import threading
import time
from collections.abc import Callable


def end_with_parent(stop: Callable[[], object]) -> None:
    """Call `stop` from a thread when the process that started this one is gone (POSIX; elsewhere do nothing)."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        stop()

    threading.Thread(target=watch, daemon=True).start()
