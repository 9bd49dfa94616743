"""Whether texts belong to a picture: the fusion decoder's judgement beside what vectors tell, as one probability.

It knows a model's ways to compare and how they are weighed; it knows nothing about indexes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from open_autoglm.errors import SettingError

from .decoding import ImageSource
from .similarity import Queries, unit

if TYPE_CHECKING:
    from .model import Model

Floats = NDArray[np.float32]


COMPETING = 10.0  # how sharply known names compete, in cosines; chosen on validation photos of groceries


@dataclass(frozen=True)
class Evidence:
    """The log-odds of a match: what speaks for it and how much, fitted where the bundle was made.

    ``similarity`` of text and picture, the decoder's ``logit``, the ``contrast``, which is how well the picture fits
    all that the model has names for, and the ``company``, how alike the picture is to the best of those that a search
    found. A match and none are equally likely beforehand.
    """

    similarity: float = 0.0
    logit: float = 1.0
    contrast: float = 0.0
    company: float = 0.0
    offset: float = 0.0

    def odds(self, similarity: Floats, logit: Floats, contrast: Floats, company: Floats | float = 0.0) -> Floats:
        """Log-odds [...] from all of them [...]."""
        odds: Floats = (
            self.similarity * similarity
            + self.logit * logit
            + self.contrast * contrast
            + self.company * company
            + np.float32(self.offset)
        )
        return odds


class Matching:
    """SettingError for a model that was not trained to match."""

    def __init__(self, model: Model) -> None:
        facts = model.bundle.manifest
        if not facts.fusion.get("match", False):
            raise SettingError(f"{model.name} cannot look twice: take a bundle that was trained with task: match.")
        self.model = model
        self.single = Evidence(**facts.calibration.get("match", {}))
        self.among = Evidence(**facts.calibration["rerank"]) if "rerank" in facts.calibration else self.single

    def match(self, image: ImageSource, texts: Sequence[str]) -> Floats:
        """The probability [t] that each of ``texts`` belongs to a picture. TextError, ImageError."""
        if not texts:
            return np.zeros(0, np.float32)
        views = self.model.embed_views(image)[None]
        similarities = self.model.similarity(self.model.embed_queries(texts), views)[:, 0]
        return probability(self.single.odds(similarities, self.logits(image, texts), self.contrast(views)))

    def again(self, similarities: Floats, logits: Floats, views: Floats) -> Floats:
        """The probability [k] that one text belongs to each of the pictures that a search found for it.

        From their similarities [k], the decoder's logits [k] and their vectors [k, views, d].
        """
        contrast = self.contrast(views)
        found = company(views[:, 0], self.single.odds(similarities, logits, contrast))
        return probability(self.among.odds(similarities, logits, contrast, found))

    def logits(self, image: ImageSource, texts: Sequence[str]) -> Floats:
        """The fusion decoder's [t]."""
        fusion = self.model.fusion
        return fusion.match(fusion.look_at(image), texts)

    def contrast(self, views: Floats) -> Floats:
        """How well pictures [k, views, d] fit all that the model has names for; zeros [k] where it has none."""
        if self._names is None:
            return np.zeros(len(views), np.float32)
        return contrast(self.model.similarity(self._names, views))

    @cached_property
    def _names(self) -> Queries | None:
        names = self.model.vocabulary.names
        return self.model.embed_queries([self.model.template.format(name) for name in names]) if names else None


def probability(odds: Floats) -> Floats:
    """Of log-odds [...]."""
    chances: Floats = (1 / (1 + np.exp(-np.clip(odds, -60, 60)))).astype(np.float32)
    return chances


def contrast(similarities: Floats) -> Floats:
    """How well pictures fit all names, from similarities [names, k]: a soft maximum [k].

    What fits several names about as well fits each of them less surely (the partition function of a classifier).
    """
    scaled = COMPETING * similarities
    highest = scaled.max(axis=0)
    total: Floats = (highest + np.log(np.exp(scaled - highest).sum(axis=0))) / np.float32(COMPETING)
    return total


def company(wholes: Floats, odds: Floats) -> Floats:
    """How alike pictures [k, d] are to the best of them, by their odds [k]: the cosine [k] to a weighted mean.

    Query expansion by the pictures found (Chum et al., ICCV 2007), with the first odds as weights.
    """
    weights = np.exp(odds - odds.max())
    cosines: Floats = wholes @ unit(weights @ wholes)
    return cosines
