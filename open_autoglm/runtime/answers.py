"""What is said about a picture: an answer, how sure it is, and the regions it rests on.

It knows boxes and probabilities; it knows nothing about how they are found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .decoding import ImageSource

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Grounding:
    """Where in a picture something is.

    ``boxes`` float32 [k, 4]: left, top, right, bottom in pixels of the upright picture; ``scores`` float32 [k], the
    best first; ``heatmap`` float32 [h, w] in 0..1, over the whole picture, coarser than its pixels.
    """

    boxes: Floats
    scores: Floats
    heatmap: Floats


@dataclass(frozen=True)
class Answer:
    """``text`` is None where the model is less sure than it must be; ``confidence``: the probability that it is right.

    ``regions``: what the answer rests on.
    """

    text: str | None
    confidence: float
    regions: Grounding


class Answering(Protocol):
    """Answers questions about pictures, in one way or another."""

    def ask(self, image: ImageSource, question: str, choices: Sequence[str] | None = None) -> Answer:
        """The answer to a question, one of ``choices`` where they are given."""
        ...

    def verify(self, image: ImageSource, statement: str) -> float:
        """The probability that a statement is true of the picture."""
        ...
