"""Texts against pictures both ways: rankings, and the figures and examples made from them.

It knows vectors and a similarity; it knows nothing about where they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from open_autoglm.runtime.similarity import Similarity

from .directions import Direction, Floats, Ints, Ranking, direction, rank
from .examples import Example, Gallery, Mistake, from_pictures, from_texts, mistakes
from .material import Pictures, Texts


@dataclass(frozen=True)
class Comparison:
    """``by_text`` ranks the pictures for each text, ``by_picture`` the texts for each picture."""

    texts: Texts
    pictures: Pictures
    similarity: Similarity
    by_text: Ranking
    by_picture: Ranking

    @classmethod
    def of(cls, texts: Texts, pictures: Pictures, similarity: Similarity) -> Comparison:
        """Compares every text with every picture."""
        queries, views = texts.queries, pictures.vectors
        numbers = views.shape[1] * (1 if queries.words is None else queries.words.mask.shape[1])

        def of_texts(block: slice) -> Floats:
            return similarity(queries[block], views)

        def of_pictures(block: slice) -> Floats:
            return similarity(queries, views[block]).T

        return cls(
            texts,
            pictures,
            similarity,
            rank(of_texts, texts.pictures_of, len(views), numbers),
            rank(of_pictures, texts.texts_of, len(queries), numbers),
        )

    def scores(self, chosen: Ints) -> Floats:
        """The scores [chosen, texts] of some pictures."""
        return self.similarity(self.texts.queries, self.pictures.vectors[chosen]).T

    def text_to_image(self, ks: Sequence[int]) -> Direction:
        """Each text as a query; texts of the same first picture count as one in the intervals."""
        first = [int(mine[0]) if len(mine) else -1 for mine in self.texts.pictures_of]
        return direction(self.by_text, len(self.pictures.vectors), np.array(first), ks)

    def image_to_text(self, ks: Sequence[int]) -> Direction:
        """Each picture as a query."""
        return direction(self.by_picture, len(self.texts.queries), np.arange(len(self.pictures.vectors)), ks)

    def text_examples(self, gallery: Gallery, count: int) -> tuple[Example, ...]:
        """Some texts with the pictures found for them."""
        return from_texts(self.by_text, self.texts.texts, self.texts.pictures_of, gallery, count)

    def picture_examples(self, gallery: Gallery, count: int) -> tuple[Example, ...]:
        """Some pictures with the texts found for them."""
        return from_pictures(self.by_picture, self.texts.texts, self.texts.texts_of, gallery, count)

    def mistakes(self, gallery: Gallery, count: int) -> tuple[Mistake, ...]:
        """The pictures that a wrong text fits best."""
        return mistakes(self.by_picture, self.texts.texts, self.texts.texts_of, gallery, count)
