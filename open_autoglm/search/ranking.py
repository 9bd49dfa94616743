"""Ranks the pictures of an index for texts: weighed, with a picture beside, with what is written, and cut.

It joins scores, full text search and the index's background; it knows nothing about arguments, files or pages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..runtime.similarity import Queries
from .asked import Asked
from .background import SAMPLE, Background, measure, medians
from .comparing import Comparison, by_sentences, with_picture
from .exact import Ranked
from .mixing import mixed, mixture
from .pictures import Pictures
from .store import Store
from .written import terms

if TYPE_CHECKING:
    from ..runtime.model import Model

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]
Nearest = Callable[[Comparison, int, Ids | None, float], Ranked]
NOTE = "background"  # its name in the store


class Ranking:
    """Searches by texts over one index, as its background is; for one thread.

    ``nearest`` finds the best k (id, score) of some pictures, none below a floor.
    """

    def __init__(self, store: Store, pictures: Pictures, nearest: Nearest) -> None:
        self._store = store
        self._pictures = pictures
        self._nearest = nearest
        self._version, self._noted = -1, ""
        self._background = Background()
        self._sample: Floats = np.empty((0, store.views, store.dimension), np.float32)

    def comparison(
        self, model: Model, wanted: Asked, texts: Queries, picture: Queries | None
    ) -> tuple[Comparison, float]:
        """How pictures are compared with the texts wanted and a picture, and the score below which none matches."""
        shares = wanted.shares
        cuts = self._cuts(model, texts)
        words = by_sentences(texts, model.similarity, shares, cuts)
        if picture is not None:
            return with_picture(words, picture.vectors[0], self._background), -np.inf
        return words, float(shares[shares > 0] @ cuts[shares > 0])

    def mixed(self, wanted: Asked, comparison: Comparison, k: int, among: Ids | None, floor: float) -> Ranked:
        """The ``k`` best (id, score) where what is written counts too."""
        found = [self._store.written(terms(text), among) for text in wanted.texts]
        mixing = mixture(found, wanted.shares.tolist(), self._background.spread)
        return mixed(self._pictures, self._nearest, comparison, mixing, k, among, floor)

    def refresh(self, version: int) -> None:
        """Takes over a background that any process has measured up to a version of the store."""
        if version == self._version:
            return
        noted = self._store.noted(NOTE) or ""
        if noted != self._noted:
            self._background = Background.read(noted)
            self._sample = self._store.vectors(self._background.sample)
            self._noted = noted
        self._version = version

    def _cuts(self, model: Model, texts: Queries) -> Floats:
        """The scores [q] below which pictures of this index do not match the texts."""
        cuts = model.cutoff(texts.vectors)
        if not len(self._sample):
            return cuts
        return self._background.cuts(cuts, medians(model.similarity, texts, self._sample))


def calibrate(store: Store, model: Model) -> None:
    """Measures the background of an index once more where it has become another one."""
    pictures = store.count()
    if pictures and Background.read(store.noted(NOTE)).outgrown(pictures):
        sample = store.sample(SAMPLE)
        store.note(NOTE, measure(model, sample, store.vectors(sample), pictures).written())
