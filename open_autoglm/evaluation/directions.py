"""One direction of retrieval: every query against all items, in blocks that bound the memory, and its figures.

It knows a function that scores queries; it knows nothing about pictures or models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_autoglm.errors import SettingError

from .intervals import Estimate, mean, share
from .retrieval import average_precisions, blocks, comparable, first_ranks

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Score = Callable[[slice], Floats]


@dataclass(frozen=True)
class Direction:
    """``recall`` by k, the mean average precision, and the median place of the best relevant item, from 1.

    ``queries`` were compared with ``items`` each.
    """

    queries: int
    items: int
    recall: dict[int, Estimate]
    mean_average_precision: Estimate
    median_rank: float


@dataclass(frozen=True)
class Ranking:
    """For each query [q] its best relevant item's place from 1 (0: it has none), and its average precision (NaN).

    ``top`` [q, k] are the best items, best first; ``scores`` [q, k] theirs; ``own`` [q] the best relevant item's.
    """

    first: Ints
    own: Floats
    precisions: NDArray[np.float64]
    top: Ints
    scores: Floats


def rank(score: Score, relevant: Sequence[Ints], items: int, weight: int = 1, kept: int = 5) -> Ranking:
    """Ranks all ``items`` for each query. ``score`` gives the scores [block, items] of a range of queries.

    ``relevant``: the items that belong to each query. ``weight``: numbers a score is made from, which bound the block.
    Ties count against the model.
    """
    queries, kept = len(relevant), min(kept, items)
    ranking = Ranking(
        np.zeros(queries, np.int64),
        np.zeros(queries, np.float32),
        np.zeros(queries),
        np.zeros((queries, kept), np.int64),
        np.zeros((queries, kept), np.float32),
    )
    for block in blocks(queries, items * weight):
        scores = score(block)
        wanted = np.zeros(scores.shape, np.bool_)
        for row, mine in enumerate(relevant[block]):
            wanted[row, mine] = True
        ranking.first[block] = first_ranks(scores, wanted)
        ranking.own[block] = np.where(wanted, scores, -np.inf).max(axis=1, initial=-np.inf)
        ranking.precisions[block] = average_precisions(scores, wanted)
        ranking.top[block] = best = highest(scores, kept)
        ranking.scores[block] = np.take_along_axis(scores, best, axis=1)
    return ranking


def highest(scores: Floats, kept: int) -> Ints:
    """The columns [q, kept] of the highest of ``scores`` [q, n], best first."""
    falling = -comparable(scores)
    chosen = np.argpartition(falling, kept - 1, axis=1)[:, :kept] if kept else np.zeros((len(scores), 0), np.int64)
    order = np.argsort(np.take_along_axis(falling, chosen, axis=1), axis=1, kind="stable")
    return np.take_along_axis(chosen, order, axis=1)


def direction(ranking: Ranking, items: int, groups: Ints, ks: Sequence[int]) -> Direction:
    """The figures over the queries that have a relevant item.

    ``groups`` [q]: queries of one group depend on each other, as the captions of one picture do; the intervals count
    them once. SettingError where no query has a relevant item.
    """
    asked = ranking.first > 0
    if not asked.any():
        raise SettingError("No query has an item that belongs to it, so there is nothing to measure.")
    first, independent = ranking.first[asked], len(np.unique(groups[asked]))
    return Direction(
        queries=int(asked.sum()),
        items=items,
        recall={k: share(first <= k, independent) for k in ks},
        mean_average_precision=mean(ranking.precisions[asked], groups[asked]),
        median_rank=float(np.median(first)),
    )
