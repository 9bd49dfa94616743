"""Fewer numbers for the same vectors: the directions in which most of them lie, as in LeanVec (2312.16335).

It knows vectors alone; it knows nothing about graphs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .halves import Halves, as_floats

Floats = NDArray[np.float32]

MULTIPLE = 32  # numbers that a processor compares at once
LEAST, MOST = 0.25, 0.75  # of the numbers there are: fewer save little more, and with more nothing is saved
TRIED = 100  # vectors that are looked for among others, to see what fewer numbers lose
RUN, RUNS = 1000, 50  # those others, where there are so many: photos taken in a row, and some of every kind
BEST, FOUND = 10, 0.95  # of the ten best, the share that must be found then
LEAST_KEPT = 0.05  # of the vectors, those that lose most by a projection: it is tried with some of them, too
TRIES = 4  # in each of which half as much is lost
EQUAL = 1e-5  # cosines of equal pictures are as near as that, whatever they are added up by


@dataclass(frozen=True)
class Projection:
    """Takes unit vectors [n, d] to unit vectors [n, m], and what is looked for to where its nearest ones stay so.

    ``axes`` [d, m] are the directions kept, turned so that no number is larger than the others by its place.
    ``rest`` [m] is one more, for the length that a vector has beside them: with it all are of length 1, and the one at
    the smallest distance is the one with the highest inner product.
    """

    axes: Floats
    rest: Floats

    @classmethod
    def of(cls, sample: Floats, kept: float) -> Projection | None:
        """The principal axes of unit vectors [n, d] that have the share ``kept`` of their squares.

        None where that takes so many that there is nothing to gain.
        """
        dimension = sample.shape[1]
        values, axes = np.linalg.eigh(sample.T @ sample)  # ascending
        shares = np.cumsum(values[::-1]) / max(values.sum(), np.finfo(np.float32).tiny)
        count = max(int(np.searchsorted(shares, kept)) + 2, int(LEAST * dimension))  # the rest is one
        count = -(-count // MULTIPLE) * MULTIPLE
        if count > MOST * dimension:
            return None
        turn = np.linalg.qr(np.random.default_rng(0).standard_normal((count, count)))[0].astype(np.float32)
        return cls(axes[:, ::-1][:, : count - 1] @ turn[1:], turn[0])

    def vectors(self, vectors: Floats) -> Floats:
        """Unit vectors [n, m] for unit vectors [n, d]."""
        along = self.queries(vectors)
        left = 1 - np.einsum("nm,nm->n", along, along)
        projected: Floats = along + np.sqrt(np.maximum(left, 0))[:, None] * self.rest
        return projected

    def queries(self, queries: Floats) -> Floats:
        """What to look for [q, m] where it was [q, d]."""
        projected: Floats = queries @ self.axes
        return projected


def projected(vectors: Halves, sample: Floats, kept: float, looked_at: int) -> Projection | None:
    """What vectors [n, d] are compared by, as found from a sample; None: by all of their numbers.

    The fewest numbers, with at least the share ``kept``, by which enough of the ten best for some of the vectors are
    among the ``looked_at`` best: photos taken in a row may differ in nothing but what the first axes leave out.
    """
    for halved in range(TRIES):
        projection = Projection.of(sample, 1 - (1 - kept) / 2**halved)
        if projection is None or found_by(projection, vectors, looked_at) >= FOUND:
            return projection
    return None


def found_by(projection: Projection, vectors: Halves, looked_at: int) -> float:
    """Of the ten best for some of the vectors [n, d], the share among the ``looked_at`` best by a projection.

    The lower of two: for any of them, and for those of which the projection keeps least. A few pictures of another
    kind than the rest may have directions of their own, which the first axes leave out.
    """
    among = as_floats(vectors[spread(len(vectors))])
    if len(among) <= looked_at:
        return 1.0
    along = projection.queries(among)
    least_kept = np.argsort(np.einsum("nm,nm->n", along, along))[: int(LEAST_KEPT * len(among))]
    fewer = projection.vectors(among)

    def found(rows: NDArray[np.int64]) -> float:
        rows = rows[:: max(1, len(rows) // TRIED)]
        best = np.argpartition(-(among[rows] @ among.T), BEST, axis=1)[:, :BEST]
        scores = along[rows] @ fewer.T
        last = np.partition(scores, len(among) - looked_at, axis=1)[:, len(among) - looked_at, None]
        return float((np.take_along_axis(scores, best, axis=1) >= last - EQUAL).mean())

    return min(found(np.arange(len(among))), found(least_kept))


def spread(count: int) -> NDArray[np.int64]:
    """The rows that are looked among, of so many: all, or runs of them from beginning to end."""
    if count <= RUN * RUNS:
        return np.arange(count)
    starts = np.linspace(0, count - RUN, RUNS).astype(np.int64)
    return (starts[:, None] + np.arange(RUN)).reshape(-1)
