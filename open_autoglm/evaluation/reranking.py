"""Search in two stages, judged: the best pictures by similarity, ordered anew by all that speaks for a match.

It knows scores and vectors as arrays; it knows nothing about pictures, models or indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from open_autoglm.runtime.matching import Evidence, company

from .calibration import logistic

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
RIDGE = 1e-5  # clues differ by hundredths, so weights are large


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

    def fit(self, logits: Floats, contrasts: Floats, wholes: Floats) -> Fitted:
        """Evidence of match logits [q, k], and of all pictures' contrasts [n] and vectors [n, d].

        Logistic regression, a match and none being equally likely beforehand. None matching, or all, it takes the
        logit alone.
        """
        contrast = contrasts[self.pictures]
        matches = self.matches.ravel()
        if matches.all() or not matches.any():
            alone = Evidence()
            return Fitted(alone, alone, alone.odds(self.scores, logits, contrast))
        clues = [self.scores, logits, contrast, np.ones_like(logits)]
        single = Evidence(
            **dict(zip(("similarity", "logit", "contrast", "offset"), weights(clues, matches), strict=True))
        )
        odds = single.odds(self.scores, logits, contrast)
        found = np.stack([company(wholes[row], one) for row, one in zip(self.pictures, odds, strict=True)])
        among = Evidence(*weights([*clues[:3], found, clues[3]], matches))
        return Fitted(single, among, among.odds(self.scores, logits, contrast, found))


@dataclass(frozen=True)
class Fitted:
    """Evidence for a picture alone, and for one ``among`` the candidates; the latter's ``odds`` [q, k]."""

    single: Evidence
    among: Evidence
    odds: Floats


def weights(clues: Sequence[Floats], matches: Mask) -> list[float]:
    """The weight of each clue [q, k] in the log-odds of ``matches``."""
    features = np.stack([clue.ravel() for clue in clues], axis=1).astype(np.float64)
    return [float(weight) for weight in logistic(features, matches, RIDGE)]
