"""What the steps since the last line of the log amount to.

It knows results of steps and the clock; it knows nothing about where they are shown.
"""

from __future__ import annotations

import time
from collections import defaultdict

from open_autoglm.objectives import Result


class Meter:
    """Figures of the steps since they were last taken, averaged, and how fast they went."""

    def __init__(self) -> None:
        self.before = 0.0  # seconds of the run before it was resumed
        self.started = self.last = time.monotonic()
        self.pairs = 0
        self.sums: dict[str, list[float]] = defaultdict(list)
        self.latest: dict[str, float] = {}

    def add(self, result: Result, pairs: int) -> None:
        """Takes in a batch."""
        self.latest = {"loss": float(result.loss)} | {name: float(value) for name, value in result.figures.items()}
        for name, value in self.latest.items():
            self.sums[name].append(value)
        self.pairs += pairs

    @property
    def speed(self) -> float:
        """Pairs a second since the last time."""
        return self.pairs / max(1e-9, time.monotonic() - self.last)

    def take(self) -> dict[str, float]:
        """The means, ``pairs_per_second`` and ``seconds``; then starts anew."""
        means = {name: sum(values) / len(values) for name, values in self.sums.items() if name != "loss"}
        now = {"pairs_per_second": self.speed, "seconds": self.before + time.monotonic() - self.started}
        self.last, self.pairs = time.monotonic(), 0
        self.sums.clear()
        return means | now
