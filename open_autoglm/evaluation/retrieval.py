"""Metrics of a ranking: recall at k, average precision and ranks, over queries with known relevant items.

It knows scores and relevance as arrays; it knows nothing about pictures, models or indexes. Ties count against the
model: an item that is not relevant stands before a relevant one of the same score, and NaN is the lowest score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from open_autoglm.errors import SettingError

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]
Numbers = NDArray[np.float64]
BLOCK_CELLS = 1 << 22  # scores that are looked at together: tens of MiB while they are compared


@dataclass(frozen=True)
class Retrieval:
    """``mean_average_precision`` and ``precision_at_1``, each the mean over the queries, in 0..1."""

    mean_average_precision: float
    precision_at_1: float


def average_precision(relevant: Mask, total: int) -> float:
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


def recall_at_k(similarities: ArrayLike, positive: ArrayLike, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Recall at ``ks`` both ways, in 0..1: ``image_to_text_r1`` ..., then ``text_to_image_r1`` ...

    ``similarities`` [pictures, texts], higher is closer; ``positive`` [pictures, texts] says which belong together. A
    query counts as found if any of its positives is in the top k; a query without one is left out. Ties count against
    the model. SettingError where no query has a positive or the shapes differ.
    """
    scores, wanted = np.asarray(similarities), np.asarray(positive, dtype=np.bool_)
    if scores.ndim != 2 or scores.shape != wanted.shape:
        raise SettingError(f"Similarities {scores.shape} and positives {wanted.shape} must be one table each, alike.")
    figures: dict[str, float] = {}
    for way, (rows, hits) in {"image_to_text": (scores, wanted), "text_to_image": (scores.T, wanted.T)}.items():
        ranks = np.zeros(len(rows), np.int64)
        for block in blocks(*rows.shape):
            ranks[block] = first_ranks(rows[block], hits[block])
        ranks = ranks[ranks > 0]
        if not len(ranks):
            raise SettingError("No picture has a text that belongs to it, so there is nothing to measure.")
        figures |= {f"{way}_r{k}": float(np.mean(ranks <= k)) for k in ks}
    return figures


def first_ranks(scores: ArrayLike, relevant: Mask) -> Ints:
    """The place [q], from 1, of each query's best relevant item; 0 for a query without one.

    ``scores`` and ``relevant`` are [q, n].
    """
    scores = comparable(scores)
    best = np.where(relevant, scores, -np.inf).max(axis=1, initial=-np.inf, keepdims=True)
    ahead = ((scores >= best) & ~relevant).sum(axis=1)
    return np.where(relevant.any(axis=1), ahead + 1, 0).astype(np.int64)


def average_precisions(scores: ArrayLike, relevant: Mask) -> Numbers:
    """The average precision [q] of each query's ranking; NaN for a query without a relevant item.

    ``scores`` and ``relevant`` are [q, n].
    """
    found = np.full(len(relevant), np.nan)
    for row, (mine, wanted) in enumerate(zip(comparable(scores), relevant, strict=True)):
        if wanted.any():
            hits = np.sort(mine[wanted])
            others = np.sort(mine[~wanted])
            ahead = len(others) - np.searchsorted(others, hits, side="left")
            place = np.arange(len(hits), 0, -1)  # the highest score comes last
            found[row] = np.mean(place / (place + ahead))
    return found


def blocks(queries: int, items: int) -> Iterator[slice]:
    """Ranges of queries that are compared with all items together."""
    size = max(1, BLOCK_CELLS // max(1, items))
    return (slice(start, start + size) for start in range(0, queries, size))


def comparable(scores: ArrayLike) -> NDArray[np.floating]:
    """Scores in which NaN is the lowest."""
    numbers = np.ascontiguousarray(scores)
    return np.where(np.isnan(numbers), -np.inf, numbers) if np.isnan(numbers).any() else numbers
