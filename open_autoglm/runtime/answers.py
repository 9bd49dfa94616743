"""What a question about a picture is answered with: text, how sure it is, and where in the picture it was seen.

It knows shapes alone; it knows nothing of how an answer comes about.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .decoding import ImageSource

Floats = NDArray[np.float32]


def _no_boxes() -> Floats:
    return np.zeros((0, 4), np.float32)


def _none() -> Floats:
    return np.zeros(0, np.float32)


def _no_heat() -> Floats:
    return np.zeros((1, 1), np.float32)


@dataclass(frozen=True)
class Grounding:
    """Where in a picture a text is.

    - ``boxes`` [k, 4]: x0 y0 x1 y1 in pixels of the upright picture (EXIF rotation applied).
    - ``scores`` [k], best first: the probability that a box holds what the text says.
    - ``heatmap`` [h, w] in 0..1: the whole picture in its own shape, possibly smaller; 1 where the text fits best,
      whether or not it is there at all.
    """

    boxes: Floats = field(default_factory=_no_boxes)
    scores: Floats = field(default_factory=_none)
    heatmap: Floats = field(default_factory=_no_heat)


@dataclass(frozen=True)
class Answer:
    """An answer in words, None where the model cannot tell; ``confidence`` in 0..1; ``regions``: what it rests on.

    ``reason``: why a model cannot tell whatever the picture, in one sentence; "" where it is only not sure enough.
    """

    text: str | None
    confidence: float
    regions: Grounding = field(default_factory=Grounding)
    reason: str = ""


class Answering(Protocol):
    """What answers questions about a picture."""

    def ask(self, image: ImageSource, question: str, choices: Iterable[str] | None = None) -> Answer:
        """The answer, one of ``choices`` where they are given."""

    def verify(self, image: ImageSource, statement: str) -> float:
        """The probability that a statement is true of the picture."""
