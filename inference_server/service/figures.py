"""Counts and times of a running service, for its status."""

from collections import Counter, defaultdict, deque

import numpy as np

KEPT = 500


class Figures:
    """Counts of everything, and the last few hundred times of each stage."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self._times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def add_times(self, timing: dict[str, float]) -> None:
        for stage, seconds in timing.items():
            self._times[stage].append(seconds)

    def summary(self) -> dict[str, dict[str, float]]:
        """Stage -> p50, p95 in seconds over the last requests."""
        found = {}
        for stage, times in self._times.items():
            p50, p95 = np.percentile(np.array(times), [50, 95])
            found[stage] = {"p50": float(p50), "p95": float(p95)}
        return found
