"""Metrics of a ranking: average precision and precision at one, over queries with known relevant items.

It knows scores and relevance as arrays; it knows nothing about pictures, models or indexes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Retrieval:
    """``mean_average_precision`` and ``precision_at_1``, each the mean over the queries, in 0..1."""

    mean_average_precision: float
    precision_at_1: float


def average_precision(relevant: NDArray[np.bool_], total: int) -> float:
    """Average precision of one ranking: ``relevant`` [n], best first; ``total`` relevant items there are in all."""
    hits = np.flatnonzero(relevant)
    precisions = np.arange(1, len(hits) + 1) / (hits + 1)
    return float(precisions.sum() / total)


def retrieval(rankings: list[list[int]], relevant: list[set[int]]) -> Retrieval:
    """Metrics of ``rankings``, item ids best first for each query, against each query's relevant ids (at least one)."""
    precisions, first = [], []
    for ranking, wanted in zip(rankings, relevant, strict=True):
        found = np.array([item in wanted for item in ranking], dtype=np.bool_)
        precisions.append(average_precision(found, len(wanted)))
        first.append(bool(found[0]) if len(found) else False)
    return Retrieval(float(np.mean(precisions)), float(np.mean(first)))
