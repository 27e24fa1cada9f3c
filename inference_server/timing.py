"""Where the time of a click goes."""

import time


class Clock:
    """Adds the seconds since its last lap to a stage of `timing`."""

    def __init__(self, timing: dict[str, float]):
        self._timing, self._since = timing, time.perf_counter()

    def lap(self, stage: str) -> None:
        """End a stage, and begin the next."""
        now = time.perf_counter()
        self._timing[stage] = self._timing.get(stage, 0.0) + now - self._since
        self._since = now
