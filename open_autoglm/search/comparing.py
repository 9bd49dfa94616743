"""How a query is compared with the pictures of an index: by sentences, by another picture, or by both.

It knows similarities and the order of a picture's views; it knows nothing about where vectors are stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..runtime.similarity import Cosine, Queries, Similarity, Words, match_words, regions_of
from .background import Background
from .records import WordMatch

Floats = NDArray[np.float32]
Score = Callable[[Floats], Floats]


# Beside words of the weight 1, once both vary alike; chosen on pictures of one thing and the word for another.
PICTURE_SHARE = 0.5


@dataclass(frozen=True)
class Comparison:
    """How pictures are compared with one query.

    ``score`` takes pictures [n, views, d] to scores [n]. ``probes`` [p, d] are vectors to look for near ones of;
    ``wholes``: the first view of a picture is all that counts.
    """

    score: Score
    probes: Floats
    wholes: bool = False


def by_sentences(sentences: Queries, similarity: Similarity, weights: Floats, cuts: Floats) -> Comparison:
    """Compares pictures with sentences as the model was trained to, and adds up by their ``weights`` [q].

    A sentence of a weight below 0 takes away from what scores above its cut [q] and adds to nothing: pictures that have
    nothing to do with it are not the better for having still less. Where it has no cut, all of its score counts.
    """
    wanted_all = bool((weights > 0).all())
    against = () if wanted_all else np.flatnonzero((weights < 0) & np.isfinite(cuts))

    def score(views: Floats) -> Floats:
        similar = similarity(sentences, views)
        if len(against):
            similar[against] = np.maximum(similar[against] - cuts[against, None], 0)
        added: Floats = (weights @ similar).astype(np.float32, copy=False)
        return added

    wanted = sentences if wanted_all else sentences[np.flatnonzero(weights > 0)]
    together = [similarity.probes(wanted.as_one())] if len(wanted) > 1 else []
    return Comparison(score, np.concatenate([similarity.probes(wanted), *together]))


def with_picture(words: Comparison, vector: Floats, background: Background) -> Comparison:
    """Compares pictures with words and a picture's vector [d], whose cosines are brought to the words' scale."""
    picture = by_picture(vector)
    scale = np.float32(PICTURE_SHARE * background.spread / background.likeness_spread)
    return Comparison(
        lambda views: words.score(views) + scale * (picture.score(views) - np.float32(background.likeness)),
        np.concatenate([words.probes, picture.probes]),
    )


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
