"""How a query is compared with the pictures of an index: by a sentence, or by another picture.

It knows similarities and the order of a picture's views; it knows nothing about where vectors are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..runtime.similarity import Cosine, Queries, Similarity, Words, match_words, regions_of
from .records import WordMatch

Floats = NDArray[np.float32]
Score = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Comparison:
    """How pictures are compared with one query.

    ``score`` takes pictures [n, views, d] to scores [n]. ``probes`` [p, d] are vectors to look for near ones of;
    ``wholes``: the first view of a picture is all that counts.
    """

    score: Score
    probes: Floats
    wholes: bool = False


def by_sentence(sentence: Queries, similarity: Similarity) -> Comparison:
    """Compares pictures with one sentence, as the model was trained to."""
    return Comparison(lambda views: similarity(sentence, views)[0], similarity.probes(sentence))


def by_picture(vector: Floats) -> Comparison:
    """Compares pictures with a picture's vector [d]: the cosine of the wholes."""
    return Comparison(lambda views: Cosine()(Queries(vector[None]), views[:, :1])[0], vector[None], wholes=True)


def word_matches(words: Words, views: Floats) -> list[tuple[WordMatch, ...]]:
    """For each picture [n, views, d] where the ``words`` of one sentence are."""
    found = match_words(words.vectors, regions_of(views), words.mask)
    written = [(place, text) for place, text in enumerate(words.texts[0]) if text]
    return [
        tuple(WordMatch(text, int(regions[place]), float(cosines[place])) for place, text in written)
        for regions, cosines in zip(found.regions[0], found.cosines[0], strict=True)
    ]
