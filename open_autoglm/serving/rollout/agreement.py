"""How alike two values of the same task are, in 0..1, and other figures that a person may want to see.

It knows what each task is answered with; how alike rankings, words and boxes are is defined in ``evaluation``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...evaluation.agreement import overlap_at, rank_biased_overlap, same_place, same_probabilities, same_words
from ..work import Ask, Classify, Describe, EmbedQuery, EmbedViews, Ground, Match, Task
from .gallery import Gallery
from .kinds import kind_of

Galleries = tuple[Gallery, Gallery]

NEAREST = 10


def vector(task: Task, value: Any) -> NDArray[np.float32]:
    """The one vector [dimension] of an embedding task's value; of a picture's views the whole."""
    if isinstance(task, EmbedQuery):
        return np.asarray(value.vectors[0], np.float32)
    return np.asarray(value[0] if isinstance(task, EmbedViews) else value, np.float32)


def alike(task: Task, one: Any, other: Any, galleries: Galleries | None, same_space: bool) -> float | None:
    """Vectors are as alike as the rankings of the gallery's pictures by them, each in its own version's space.

    Without a gallery, their cosine; None where there is nothing to compare.
    """
    if kind_of(task) == "embeddings":
        if galleries is None:
            return max(0.0, float(vector(task, one) @ vector(task, other))) if same_space else None
        return rank_biased_overlap(*_rankings(task, one, other, galleries))
    return _answers_alike(task, one, other)


def _answers_alike(task: Task, one: Any, other: Any) -> float | None:
    match task:
        case Ask():
            return float((one.text or "").casefold() == (other.text or "").casefold())
        case Classify():
            return same_probabilities(one, other)
        case Match():
            return 1 - float(np.abs(np.asarray(one) - np.asarray(other)).mean())
        case Ground():
            return same_place(one.boxes, other.boxes)
        case Describe():
            return same_words(one.text, other.text)
    return None


def shown(task: Task, one: Any, other: Any, galleries: Galleries | None, same_space: bool) -> dict[str, float]:
    """Figures by name that no rule looks at."""
    if kind_of(task) == "answers":
        score = _answers_alike(task, one, other)
        return {} if score is None else {f"{type(task).__name__.lower()} agreement": score}
    figures: dict[str, float] = {}
    if same_space:
        figures["cosine"] = float(vector(task, one) @ vector(task, other))
    if galleries is not None:
        figures[f"overlap@{NEAREST}"] = overlap_at(NEAREST, *_rankings(task, one, other, galleries))
    return figures


def _rankings(task: Task, one: Any, other: Any, galleries: Galleries) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return galleries[0].ranking(vector(task, one)), galleries[1].ranking(vector(task, other))
