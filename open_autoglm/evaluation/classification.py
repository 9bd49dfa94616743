"""Zero-shot classification: classes from templates, accuracy, the classes taken for each other, calibration.

It knows scores, probabilities and classes as arrays; it knows nothing about pictures or models.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from open_autoglm.errors import SettingError
from open_autoglm.runtime.similarity import Queries

from .calibration import expected_calibration_error
from .intervals import Estimate, share

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ClassFigure:
    """How one class fares: the share of its ``pictures`` that are recognized."""

    name: str
    accuracy: Estimate
    pictures: int


@dataclass(frozen=True)
class Confusion:
    """``count`` of the ``pictures`` of class ``truth`` are taken for ``taken``; ``share`` of them."""

    truth: str
    taken: str
    count: int
    pictures: int

    @property
    def share(self) -> float:
        """0..1."""
        return self.count / self.pictures


@dataclass(frozen=True)
class Classification:
    """``top_1`` and ``top_5`` over pictures; ``mean_per_class``: each class weighs the same, whatever its size.

    ``per_class``: the worst first. ``confusions``: the most frequent first.
    """

    top_1: Estimate
    top_5: Estimate
    mean_per_class: float
    per_class: tuple[ClassFigure, ...]
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class ProbabilityFigures:
    """How honest the probabilities of ``Model.classify`` are.

    ``calibration_error``: expected calibration error of the answer's probability, 0..1, "none of these" being wrong.
    ``accuracy``: of that answer. ``none_of_these``: the share of pictures so answered.
    """

    calibration_error: float
    accuracy: float
    none_of_these: float


def class_queries(embed: Callable[[Sequence[str]], Queries], texts: Sequence[Sequence[str]]) -> Queries:
    """A query a class: the mean of its ``texts``, scaled back to unit length, and the words of all of them.

    That is prompt ensembling as in CLIP (2103.00020).
    """
    if not texts or not all(texts):
        raise SettingError("Zero-shot classification needs at least one class, and a text such as 'a shoe' for each.")
    queries = embed([text for mine in texts for text in mine])
    ends = accumulate(map(len, texts), initial=0)
    return Queries.joined([queries[start:end].as_one() for start, end in pairwise(ends)])


def classification(scores: Floats, truth: Mask, names: Sequence[str]) -> Classification:
    """Accuracy of the class with the highest of ``scores`` [n, classes].

    ``truth`` bool [n, classes]: the classes of each picture, one at least; a picture of several is right with any. Of
    equal scores a wrong class counts as the higher.
    """
    if not len(scores) or not truth.any(axis=1).all():
        raise SettingError("Zero-shot classification needs pictures, each with a class of the list.")
    own = np.where(truth, scores, -np.inf)
    rivals = ~truth & ~(scores < own.max(axis=1, keepdims=True))  # NaN is no less than anything
    rank = 1 + rivals.sum(axis=1)
    right = rank == 1
    taken = np.where(right, own.argmax(axis=1), np.where(rivals, scores, -np.inf).argmax(axis=1)).tolist()
    rows, columns = (found.tolist() for found in np.nonzero(truth))
    pictures = Counter(columns)
    hits = Counter(column for row, column in zip(rows, columns, strict=True) if right[row])
    per_class = [
        ClassFigure(names[number], share(np.arange(count) < hits[number]), count) for number, count in pictures.items()
    ]
    pairs = Counter((column, taken[row]) for row, column in zip(rows, columns, strict=True) if not right[row])
    confusions = [Confusion(names[mine], names[other], count, pictures[mine]) for (mine, other), count in pairs.items()]
    return Classification(
        top_1=share(right),
        top_5=share(rank <= 5),
        mean_per_class=float(np.mean([figure.accuracy.value for figure in per_class])),
        per_class=tuple(sorted(per_class, key=lambda figure: (figure.accuracy.value, -figure.pictures, figure.name))),
        confusions=tuple(sorted(confusions, key=lambda pair: (-pair.count, -pair.share, pair.truth, pair.taken))),
    )


def probability_figures(evidence: Floats, truth: Mask, none_of_these: float = 0.0) -> ProbabilityFigures:
    """Judges the probabilities that log-odds come to: ``evidence`` [n, classes], and that for none of them.

    ``truth`` bool [n, classes].
    """
    logits = np.concatenate([evidence, np.full((len(evidence), 1), none_of_these, np.float32)], axis=1)
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    answer = probabilities.argmax(axis=1)
    none = answer == truth.shape[1]
    right = np.where(none, False, truth[np.arange(len(truth)), np.where(none, 0, answer)])
    return ProbabilityFigures(
        calibration_error=expected_calibration_error(probabilities.max(axis=1), right),
        accuracy=float(right.mean()),
        none_of_these=float(none.mean()),
    )
