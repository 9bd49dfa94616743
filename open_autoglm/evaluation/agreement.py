"""How alike two models answer, in 0..1: their rankings of the same items, their probabilities, words and boxes.

It knows rankings, numbers and words; it knows nothing of models, nor of which of two is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .boxes import iou

PERSISTENCE = 0.9  # of rank-biased overlap: the first ten places weigh 86 %


def overlap_at(k: int, one: ArrayLike, other: ArrayLike) -> float:
    """The share of the first ``k`` of two rankings that is the same, in any order; of all where there are fewer."""
    first, second = set(np.asarray(one)[:k].tolist()), set(np.asarray(other)[:k].tolist())
    longest = max(len(first), len(second))
    return len(first & second) / longest if longest else 1.0


def rank_biased_overlap(one: ArrayLike, other: ArrayLike, persistence: float = PERSISTENCE) -> float:
    """How alike two rankings [n] of the same items are, the first places above all; 1 where they are the same.

    Source: Webber, Moffat and Zobel, "A similarity measure for indefinite rankings", TOIS 28 (2010), eq. 32.
    """
    first, second = np.asarray(one), np.asarray(other)
    depth = min(len(first), len(second))
    if not depth:
        return 1.0
    place = {item: rank for rank, item in enumerate(second[:depth].tolist())}
    missing = depth
    met = np.maximum(np.arange(depth), [place.get(item, missing) for item in first[:depth].tolist()])
    common = np.cumsum(np.bincount(met[met < depth], minlength=depth))
    places = np.arange(1, depth + 1)
    shares = common / places
    weights = persistence**places
    return float((1 - persistence) / persistence * (shares * weights).sum() + shares[-1] * weights[-1])


def same_probabilities(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """1 less the total variation distance of two distributions over labels."""
    labels = one.keys() | other.keys()
    return 1 - sum(abs(one.get(label, 0.0) - other.get(label, 0.0)) for label in labels) / 2


def same_words(one: str, other: str) -> float:
    """The F1 of two texts' words, whatever their order and case (ROUGE-1, Lin 2004)."""
    first, second = Counter(one.lower().split()), Counter(other.lower().split())
    total = first.total() + second.total()
    return 2 * (first & second).total() / total if total else 1.0


def same_place(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """The overlap (IoU) of the best boxes of [n, 4] and [m, 4]; 1 where neither has one, 0 where only one has."""
    if not len(one) or not len(other):
        return float(len(one) == len(other))
    return float(iou(one[:1], other[:1])[0, 0])
