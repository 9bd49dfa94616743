"""How sure a measured figure is: 95 % intervals of shares (Wilson) and of means (bootstrap).

It knows numbers; it knows nothing about what was measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NORMAL = 1.959963984540054  # standard deviations on either side that hold 95 % of a normal distribution
RESAMPLES = 1000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval; ``n``: how many independent things it was measured on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.value:.3f}"


def share(hits: ArrayLike, n: int | None = None) -> Estimate:
    """The share of ``hits`` [q] that are true, with its Wilson score interval (Wilson 1927).

    ``n``: how many of them are independent where not all are, as with several captions of one picture.
    """
    found = np.asarray(hits, dtype=np.float64)
    trials = len(found) if n is None else n
    value = float(found.mean())
    spread = NORMAL**2 / trials
    centre = (value + spread / 2) / (1 + spread)
    reach = NORMAL / (1 + spread) * math.sqrt(value * (1 - value) / trials + spread / (4 * trials))
    return Estimate(value, max(0.0, min(centre - reach, value)), min(1.0, max(centre + reach, value)), trials)


def mean(values: ArrayLike, groups: ArrayLike | None = None, seed: int = 0) -> Estimate:
    """The mean of ``values`` [q] with its bootstrap percentile interval, the same at every call.

    ``groups`` int [q]: values of one group are drawn together, because they depend on each other.
    """
    numbers = np.asarray(values, dtype=np.float64)
    members = np.unique(np.arange(len(numbers)) if groups is None else np.asarray(groups), return_inverse=True)[1]
    sums, counts = np.bincount(members, numbers), np.bincount(members)
    random = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for turn in range(RESAMPLES):
        drawn: NDArray[np.int64] = random.integers(len(sums), size=len(sums))
        means[turn] = sums[drawn].sum() / counts[drawn].sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(numbers.mean()), float(low), float(high), len(sums))
