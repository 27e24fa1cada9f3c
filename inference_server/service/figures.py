"""Counts and times of a running service, for its status."""

from collections import Counter, defaultdict, deque

import numpy as np

KEPT = 500


class Figures:
    """Counts of everything, and the last few hundred times of each stage."""

    def __init__(self):
        self.counts: Counter[str] = Counter()
        self._times: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._totals: dict[str, tuple[float, int]] = {}

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def add_times(self, timing: dict[str, float]) -> None:
        for stage, seconds in timing.items():
            self._times[stage].append(seconds)
            total, count = self._totals.get(stage, (0.0, 0))
            self._totals[stage] = total + seconds, count + 1

    def summary(self) -> dict[str, dict[str, float]]:
        """Stage -> p50, p95 in seconds over the last requests, and sum and count over all of them."""
        found = {}
        for stage, times in self._times.items():
            p50, p95 = np.percentile(np.array(times), [50, 95])
            total, count = self._totals[stage]
            found[stage] = {"p50": float(p50), "p95": float(p95), "sum": total, "count": count}
        return found
