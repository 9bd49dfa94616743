"""Bounds of a mean that hold at every moment, so that a rollout may look at its figures as often as it likes.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", J. R. Statist. Soc. B 86
(2024), arXiv:2010.09686. It knows numbers in -1..1; it knows nothing of where they come from.

For each value that the mean might have, two gamblers bet against it, one that the mean is higher, one that it is lower.
Where the value is true, neither gets richer on average, so by Ville's inequality the chance that one ever multiplies
their stake by 1/alpha is at most alpha. Values that made someone that rich are ruled out. A gambler splits the stake
over several fixed fractions, so the wealth changes in one direction with the value, and what is left is an interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]

# What is staked each time, of what can be lost: large bets find large differences soon, small ones small differences.
FRACTIONS = 0.9 * 0.5 ** np.arange(8)
# Finest about 0, where the rules look.
_STEPS = np.linspace(-1, 1, 203)[1:-1]
VALUES = _STEPS * np.abs(_STEPS)
_TOGETHER = 32  # factors that are multiplied before a logarithm is taken, which costs more: few enough for a float


@dataclass(frozen=True)
class Interval:
    """The mean so far, and between what the true one lies; ``n``: over how many."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Evidence:
    """What a row of differences in -1..1 says of their mean.

    ``values`` [v], ascending: what the mean might be. ``wealth`` [2, v, fractions]: the logarithm of what each bet has
    become, first of those who bet on more, then of those who bet on less.
    """

    values: Numbers
    wealth: Numbers
    n: int = 0
    total: float = 0.0

    @classmethod
    def none(cls, exact: Iterable[float] = ()) -> Evidence:
        """Before the first one. ``exact`` are values in -1..1 that will be asked about, which lie on no grid."""
        values = np.unique(np.concatenate([VALUES, np.array(list(exact), np.float64)]))
        values = values[np.abs(values) < 1]
        return cls(values, np.zeros((2, len(values), len(FRACTIONS))))

    def after(self, differences: ArrayLike) -> Evidence:
        """With more differences [b], in the order in which they came."""
        seen = np.clip(np.asarray(differences, np.float64).ravel(), -1, 1)
        if not len(seen):
            return self
        wealth = self.wealth
        for start in range(0, len(seen), _TOGETHER):
            part = seen[start : start + _TOGETHER, None]
            payoffs = np.stack([(part + 1) / (1 + self.values) - 1, (1 - part) / (1 - self.values) - 1], axis=1)
            wealth = wealth + np.log((1 + payoffs[..., None] * FRACTIONS).prod(axis=0))
        return replace(self, wealth=wealth, n=self.n + len(seen), total=self.total + float(seen.sum()))

    def interval(self, alpha: float) -> Interval:
        """Each end is passed by the true mean with a chance of at most ``alpha``, however often it is looked at."""
        more, less = np.logaddexp.reduce(self.wealth, axis=2) - math.log(len(FRACTIONS)) >= math.log(1 / alpha)
        low = float(self.values[more].max()) if more.any() else -1.0
        high = float(self.values[less].min()) if less.any() else 1.0
        return Interval(self.total / self.n if self.n else 0.0, low, high, self.n)
