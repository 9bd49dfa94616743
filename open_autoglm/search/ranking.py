"""Ranks the pictures of an index for texts: weighed, with a picture beside, with what is written, and cut.

It joins scores, full text search and the index's background; it knows nothing about arguments, files or pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..runtime.similarity import Queries
from .asked import Asked
from .background import SAMPLE, Background, measure, medians
from .comparing import Score, by_sentences, with_picture
from .exact import ExactSearch
from .mixing import mixed, mixture
from .store import Store
from .written import terms

if TYPE_CHECKING:
    from ..runtime.model import Model

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]
NOTE = "background"  # its name in the store


class Ranking:
    """Searches by texts over one index, as its background is; for one thread."""

    def __init__(self, store: Store, exact: ExactSearch) -> None:
        self._store = store
        self._exact = exact
        self._noted: str | None = None
        self._background = Background()
        self._sample: Floats = np.empty((0, store.views, store.dimension), np.float32)

    def refresh(self) -> None:
        """Takes over a background that was measured since, by any process."""
        noted = self._store.noted(NOTE)
        if noted != self._noted:
            self._background = Background.read(noted)
            self._sample = self._store.vectors(self._background.sample)
            self._noted = noted

    def search(
        self,
        model: Model,
        wanted: Asked,
        texts: Queries,
        picture: Floats | None,
        k: int,
        among: Ids | None,
        cut: bool,
        written: bool,
    ) -> list[tuple[int, float]]:
        """The ``k`` best (id, score) for the texts wanted, with a picture's vector [d] where there is one."""
        shares = wanted.shares
        cuts = self._cuts(model, texts)
        score: Score = by_sentences(texts, model.similarity, shares, cuts)
        floor = float(shares[shares > 0] @ cuts[shares > 0]) if cut and picture is None else -np.inf
        if picture is not None:
            score = with_picture(score, picture, self._background)
        if not written:
            return self._exact.search(score, k, among, floor)
        found = [self._store.written(terms(text), among) for text in wanted.texts]
        mixing = mixture(found, shares.tolist(), self._background.spread)
        return mixed(self._exact, score, mixing, k, among, floor)

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
