"""What a search is asked for: texts with weights, a picture, or one of the index's own, and whether that makes sense.

It knows the arguments of a search; it knows nothing about vectors or scores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError, TextError

if TYPE_CHECKING:
    from ..runtime.images import ImageSource

Floats = NDArray[np.float32]

MOST_TEXTS = 16
HEAVIEST = 100.0


@dataclass(frozen=True)
class Asked:
    """``texts`` with their ``weights``, none of them 0, and a picture beside or instead; or ``like``, by itself."""

    texts: tuple[str, ...]
    weights: tuple[float, ...]
    image: ImageSource | None
    like: int | None

    @cached_property
    def shares(self) -> NDArray[np.float32]:
        """The weights [texts] as shares of those above 0, which add up to 1; as they are where there is none."""
        weights = np.array(self.weights, np.float32)
        total = weights[weights > 0].sum()
        return weights / total if total > 0 else weights

    @property
    def alone(self) -> str | None:
        """The text, where there is nothing but one."""
        return self.texts[0] if len(self.texts) == 1 and self.image is None else None


def asked(text: str | Mapping[str, float] | None, image: ImageSource | None, like: int | None) -> Asked:
    """Raises SettingError for no query, one that ``like`` is mixed with, and weights that make none; TextError."""
    if (text is None and image is None) == (like is None):
        raise SettingError(
            "Give a text, a picture or both, or else the id of a picture to search by: an id goes with nothing else."
        )
    if isinstance(text, Mapping):
        weights = {_text(one): _weight(one, weight) for one, weight in text.items()}
    else:
        weights = {} if text is None else {_text(text): 1.0}
    weights = {one: weight for one, weight in weights.items() if weight}
    if len(weights) > MOST_TEXTS:
        raise SettingError(f"The search has {len(weights)} texts, over the limit of {MOST_TEXTS}: give fewer.")
    if like is None and image is None and not any(weight > 0 for weight in weights.values()):
        raise SettingError("The search says only what is not wanted: give a text with a weight above 0, or a picture.")
    return Asked(tuple(weights), tuple(weights.values()), image, like)


def vectors_asked(vectors: object, dimension: int) -> Floats:
    """The vectors [q, d] to look for, at length 1. SettingError where they are no such numbers or have no direction."""
    try:
        given = np.asarray(vectors, np.float32)
    except (TypeError, ValueError):
        given = np.empty(0, np.float32)
    if given.ndim != 2 or given.shape[1] != dimension:
        raise SettingError(
            f"Vectors to look for are numbers of the shape [queries, {dimension}] in this index, not "
            f"{list(given.shape) if given.size else type(vectors).__name__}."
        )
    with np.errstate(over="ignore", invalid="ignore"):  # said below, in a sentence
        squares = np.matmul(given[:, None], given[:, :, None])[:, 0]
    if not all(0 < square < np.inf for (square,) in squares.tolist()):
        raise SettingError("A vector to look for has what is no number, or no direction: all of its numbers are 0.")
    unit: Floats = given / np.sqrt(squares)
    return unit


def _text(given: object) -> str:
    if not isinstance(given, str):
        raise TextError(f"A text was expected, not {type(given).__name__}.")
    return given


def _weight(text: object, weight: object) -> float:
    number = isinstance(weight, Real) and not isinstance(weight, bool)
    if not number or not math.isfinite(value := float(weight)) or abs(value) > HEAVIEST:  # type: ignore[arg-type]
        raise SettingError(
            f"The weight of {text!r} is {weight!r}: give a number between -{HEAVIEST:g} and {HEAVIEST:g}."
        )
    return value
