"""Mixes how near pictures are by their vectors with what is written of them.

It knows scores, and what full text search says of pictures; it knows nothing about texts, models or storage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .comparing import Comparison
from .exact import SCORE_DIGITS, Ranked
from .pictures import Pictures
from .written import Written

# BM25 adds up log-odds, and so do scores in spreads of their background: a sum is a mixture in one unit. By ranks
# (reciprocal rank fusion) a chance mention counts as much as a rare word; benchmarks/looks.py has both.
SHARE = 0.5  # spreads for each unit of BM25
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Mixture:
    """What is ``added`` to pictures' scores by id, and those that ``surely`` match, however low they score."""

    added: Mapping[int, float]
    surely: frozenset[int]


def mixture(found: Sequence[Written], weights: Sequence[float], spread: float) -> Mixture:
    """From what is written for each text of a weight; ``spread``: of the background's scores.

    A picture matches surely that has all the words of every text wanted and of none that is not.
    """
    added: dict[int, float] = {}
    for one, weight in zip(found, weights, strict=True):
        for id, fit in one.fits.items():
            added[id] = added.get(id, 0.0) + weight * SHARE * spread * fit
    wanted = [one.whole for one, weight in zip(found, weights, strict=True) if weight > 0]
    unwanted = [one.whole for one, weight in zip(found, weights, strict=True) if weight < 0]
    surely = frozenset.intersection(*wanted).difference(*unwanted) if wanted else frozenset[int]()
    return Mixture(added, surely)


def mixed(
    pictures: Pictures,
    nearest: Callable[[Comparison, int, NDArray[np.int64] | None, float], Ranked],
    comparison: Comparison,
    mixing: Mixture,
    k: int,
    among: NDArray[np.int64] | None,
    floor: float,
) -> Ranked:
    """The ``k`` best (id, score) of pictures to some of which something is added, equal scores by id.

    The others stand in the order of their vectors, so that no more of them are needed than the best ``k`` and as many
    as may fall behind.
    """
    added = mixing.added
    falling = sum(1 for value in added.values() if value < 0)
    scores = dict(nearest(comparison, k + falling, among, floor))
    written = [id for id in added if id in pictures]
    for start in range(0, len(written), ROWS_AT_ONCE):
        part = written[start : start + ROWS_AT_ONCE]
        near = comparison.score(pictures.views(part)).tolist()
        scores |= {id: round(near[row] + added[id], SCORE_DIGITS) for row, id in enumerate(part)}
    kept = [(id, value) for id, value in scores.items() if value >= floor or id in mixing.surely]
    return sorted(kept, key=lambda one: (-one[1], one[0]))[:k]
