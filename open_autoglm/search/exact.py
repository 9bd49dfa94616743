"""Exact search: all vectors in memory, every one compared with the query.

It knows vectors and ids; it knows nothing about where they are stored or what they show.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Ranked = list[tuple[int, float]]

GROWTH = 1.25
FEW = 256  # that are sorted whole, which takes no longer
# Equal vectors may score a last bit apart depending on their row: rounding keeps the order of twins stable.
SCORE_DIGITS = 6


class ExactSearch:
    """Vectors [n, views, dimension] by id, with spare rows so that growing rarely copies; for one thread."""

    def __init__(self, views: int, dimension: int) -> None:
        self._vectors: Floats = np.empty((0, views, dimension), np.float32)
        self._ids: Ids = np.empty(0, np.int64)
        self._rows: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, id: int) -> bool:
        return id in self._rows

    @property
    def ids(self) -> Ids:
        """All ids, in no order."""
        return self._ids[: len(self)].copy()

    def reserve(self, more: int) -> None:
        """Makes room for ``more`` further pictures."""
        wanted = len(self) + more
        if wanted <= len(self._ids):
            return
        # The first load fits exactly; a second one shows that the index grows.
        capacity = max(wanted, int(len(self) * GROWTH))
        vectors = np.empty((capacity, *self._vectors.shape[1:]), np.float32)
        ids = np.empty(capacity, np.int64)
        vectors[: len(self)] = self._vectors[: len(self)]
        ids[: len(self)] = self._ids[: len(self)]
        self._vectors, self._ids = vectors, ids

    def put(self, ids: Ids, vectors: Floats) -> None:
        """Adds or replaces pictures: ids [n] and vectors [n, views, dimension]."""
        self.reserve(len(ids))
        for id, vector in zip(ids.tolist(), vectors, strict=True):
            row = self._rows.setdefault(id, len(self._rows))
            self._ids[row], self._vectors[row] = id, vector

    def remove(self, ids: Ids) -> None:
        """Removes those of the ids that there are; the last row takes each one's place."""
        for id in ids.tolist():
            row = self._rows.pop(id, None)
            if row is None:
                continue
            last = len(self._rows)
            if row != last:
                self._ids[row], self._vectors[row] = self._ids[last], self._vectors[last]
                self._rows[int(self._ids[row])] = row

    def views(self, ids: list[int]) -> Floats:
        """The vectors [n, views, dimension] of pictures. KeyError for an unknown id."""
        vectors: Floats = self._vectors[[self._rows[id] for id in ids]]
        return vectors

    def search(
        self, score: Callable[[Floats], Floats], k: int, among: Ids | None = None, floor: float = -np.inf
    ) -> Ranked:
        """The ``k`` best (id, score), equal scores by id.

        ``score`` takes pictures [n, views, dimension] to scores [n]. ``among`` are the only ids allowed; scores
        below ``floor`` are left out.
        """
        ids, scores = self._ids[: len(self)], score(self._vectors[: len(self)])
        if among is not None:
            allowed = np.isin(ids, among)
            ids, scores = ids[allowed], scores[allowed]
        return best(ids, scores, k, floor)


def best(ids: Ids, scores: Floats, k: int, floor: float = -np.inf) -> Ranked:
    """The ``k`` best (id, score) of ids [n] and scores [n], none below ``floor``, equal scores by id."""
    ranked = scores.astype(np.float64).round(SCORE_DIGITS)
    if len(ranked) > FEW:
        allowed = ranked >= floor
        ranked, ids = ranked[allowed], ids[allowed]
        if k < len(ranked):
            # Everything that ties with the k-th stays in until the order by id decides.
            near = ranked >= np.partition(ranked, len(ranked) - k)[len(ranked) - k]
            ranked, ids = ranked[near], ids[near]
    order = np.lexsort((ids, -ranked))[:k]
    found = zip(ids[order].tolist(), ranked[order].tolist(), strict=True)
    return [(id, score) for id, score in found if score >= floor]


def best_of_each(ids: Ids, scores: Floats, k: int) -> tuple[Ids, Floats]:
    """The ``k`` best of each row of ids [q, n] by scores [q, n], equal scores by id; ``n`` is at least ``k``."""
    ranked = scores.round(SCORE_DIGITS)
    order = np.lexsort((ids, -ranked))[:, :k]
    order += np.arange(0, ids.size, ids.shape[1])[:, None]
    return ids.take(order), ranked.take(order)


def joined(parts: Sequence[tuple[Ids, Floats]], k: int) -> tuple[Ids, Floats]:
    """Ids [q, k] and scores [q, k] of parts of the queries, in their order."""
    if len(parts) == 1:
        return parts[0]
    ids = [np.empty((0, k), np.int64), *(ids for ids, _ in parts)]
    return np.concatenate(ids), np.concatenate([np.empty((0, k), np.float32), *(scores for _, scores in parts)])


def as_arrays(found: Sequence[Ranked], k: int) -> tuple[Ids, Floats]:
    """The ids [q, k] and scores [q, k] of what was found for each query; -1 and -inf where there are fewer."""
    ids, scores = np.full((len(found), k), -1, np.int64), np.full((len(found), k), -np.inf, np.float32)
    for row, ranked in enumerate(found):
        if ranked:
            ids[row, : len(ranked)], scores[row, : len(ranked)] = zip(*ranked, strict=True)
    return ids, scores
