"""Search in two stages, judged: the best pictures by similarity, ordered anew with the logit of a match beside it.

It knows scores as arrays; it knows nothing about pictures, models or indexes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .calibration import logistic

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Candidates:
    """What a second stage looks at: ``pictures`` [q, k], the best of each query first; ``scores``, ``matches`` of them.

    ``total`` [q]: how many pictures match a query in all.
    """

    pictures: Ints
    scores: Floats
    matches: Mask
    total: Ints

    @classmethod
    def best(cls, scores: Floats, positive: Mask, most: int) -> Candidates:
        """The ``most`` best pictures of each query, of scores and positives [q, n]."""
        order = np.argsort(-scores, axis=1, kind="stable")[:, :most]
        best, matches = np.take_along_axis(scores, order, axis=1), np.take_along_axis(positive, order, axis=1)
        return cls(order, best, matches, positive.sum(axis=1))

    def mean_average_precision(self, evidence: ArrayLike) -> float:
        """Of the candidates ordered by evidence [q, k]; matching pictures that are no candidates count as not found."""
        order = np.argsort(-np.asarray(evidence), axis=1, kind="stable")
        found = np.take_along_axis(self.matches, order, axis=1)
        places = np.arange(1, found.shape[1] + 1)
        precisions = (np.cumsum(found, axis=1) / places * found).sum(axis=1)
        return float((precisions[self.total > 0] / self.total[self.total > 0]).mean())

    def pairs(self) -> Mask:
        """Every match [q, k], and as many of those that are none, the closest first."""
        wrong = ~self.matches & (np.cumsum(~self.matches, axis=1) <= self.matches.sum(axis=1, keepdims=True))
        chosen: Mask = self.matches | wrong
        return chosen

    def fit(self, logits: Floats) -> tuple[float, float, float]:
        """Weights of similarity and of match logits [q, k], and a constant: the log-odds that a candidate matches.

        Logistic regression, a match and none being equally likely beforehand. None matching, or all, it takes the
        logit alone.
        """
        matches = self.matches.ravel()
        if matches.all() or not matches.any():
            return 0.0, 1.0, 0.0
        features = np.stack([self.scores.ravel(), logits.ravel(), np.ones(len(matches))], axis=1).astype(np.float64)
        similarity, logit, offset = logistic(features, matches).tolist()
        return similarity, logit, offset
