"""Whether texts belong to a picture: the fusion decoder's judgement and the similarity, as one probability.

It knows a model's two ways to compare and how they are weighed; it knows nothing about indexes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from open_autoglm.errors import SettingError

from .decoding import ImageSource

if TYPE_CHECKING:
    from .model import Model

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Evidence:
    """The log-odds of a match: ``similarity`` and ``logit`` weigh the two, fitted where the bundle was made.

    A match and none are equally likely beforehand.
    """

    similarity: float = 0.0
    logit: float = 1.0
    offset: float = 0.0

    @classmethod
    def read(cls, calibration: Mapping[str, Mapping[str, float]]) -> Evidence:
        """A bundle's; without one the logit stands alone."""
        return cls(**calibration.get("match", {}))

    def probability(self, similarities: Floats, logits: Floats) -> Floats:
        """Of matches, from both [...]."""
        odds = self.similarity * similarities + self.logit * logits + self.offset
        chances: Floats = (1 / (1 + np.exp(-np.clip(odds, -60, 60)))).astype(np.float32)
        return chances


class Matching:
    """SettingError for a model that was not trained to match."""

    def __init__(self, model: Model) -> None:
        facts = model.bundle.manifest
        if not facts.fusion.get("match", False):
            raise SettingError(f"{model.name} cannot look twice: take a bundle that was trained with task: match.")
        self.model = model
        self.evidence = Evidence.read(facts.calibration)

    def match(self, image: ImageSource, texts: Sequence[str]) -> Floats:
        """The probability [t] that each of ``texts`` belongs to a picture. TextError, ImageError."""
        if not texts:
            return np.zeros(0, np.float32)
        views = self.model.embed_prepared(self.model.prepare(image)[None])
        similarities = self.model.similarity(self.model.embed_queries(texts), views)[:, 0]
        return self.evidence.probability(similarities, self.logits(image, texts))

    def again(self, image: ImageSource, text: str, similarity: float) -> float:
        """The probability that one text belongs to a picture whose similarity is known already. ImageError."""
        return float(self.evidence.probability(np.array([similarity], np.float32), self.logits(image, [text]))[0])

    def logits(self, image: ImageSource, texts: Sequence[str]) -> Floats:
        """The fusion decoder's [t]."""
        fusion = self.model.fusion
        return fusion.match(fusion.look(fusion.prepare(image)), texts)
