"""How close pictures and texts are, for arrays: cosine, Euclidean, bilinear, and region-word late interaction.

The same definitions for tensors live in ``modeling/similarity.py``; a test holds the two together. It knows nothing
about models.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
LOWEST_COSINE = -1.0


class Similarity(Protocol):
    """Texts against pictures, higher is closer.

    Queries [q, d] against vectors [..., d] give [q, ...]; region-word takes words [q, words, d] and regions
    [n, regions, d] and gives [q, n].
    """

    def __call__(self, queries: Floats, vectors: Floats, /) -> Floats: ...


def cosine(queries: Floats, vectors: Floats) -> Floats:
    """Cosine similarity of unit vectors: queries [q, d] against vectors [..., d] gives [q, ...]."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    scores: Floats = (queries @ flat.T).reshape(len(queries), *vectors.shape[:-1])
    return scores


def euclidean(queries: Floats, vectors: Floats) -> Floats:
    """Negative squared distance, at most 0: queries [q, d] against vectors [..., d] gives [q, ...].

    Of unit vectors it is 2 cos - 2, and ranks as the cosine does.
    """
    between = np.square(vectors).sum(axis=-1)[None]
    lengths = np.square(queries).sum(axis=-1).reshape(-1, *[1] * (vectors.ndim - 1)) + between
    scores: Floats = np.minimum(2 * cosine(queries, vectors) - lengths, 0)
    return scores


@dataclass(frozen=True)
class Bilinear:
    """``image @ matrix @ text`` with the trained ``matrix`` [d, d]; the pictures' vectors stay as they are."""

    matrix: Floats

    def fold(self, queries: Floats) -> Floats:
        """Texts [q, d] with the matrix folded in, not of unit length: their inner products are the similarity."""
        folded: Floats = queries @ self.matrix.T
        return folded

    def __call__(self, queries: Floats, vectors: Floats) -> Floats:
        return cosine(self.fold(queries), vectors)


@dataclass(frozen=True)
class WordMatches:
    """How well texts match pictures [q, n], and each word's best region [q, n, words], for a word that is there."""

    scores: Floats
    regions: NDArray[np.int64]


def match_words(
    words: Floats, regions: Floats, word_mask: Mask | None = None, region_mask: Mask | None = None
) -> WordMatches:
    """For each word the cosine of its best region; the mean over the words (SCAN, 1803.08024; FILIP, 2111.07783).

    ``words`` [q, words, d] and ``regions`` [n, regions, d] are unit vectors; the masks say which of them there are.
    A sentence without words scores 0, a picture without regions -1.
    """
    words_there = np.ones(words.shape[:2], bool) if word_mask is None else word_mask
    cosines = cosine(words.reshape(-1, words.shape[-1]), regions).reshape(*words.shape[:2], *regions.shape[:2])
    if region_mask is not None:
        cosines = np.where(region_mask, cosines, np.float32(LOWEST_COSINE))
    best = cosines.max(axis=-1) * words_there[:, :, None]
    scores = best.sum(axis=1) / np.maximum(words_there.sum(axis=1), 1)[:, None].astype(np.float32)
    return WordMatches(scores=scores, regions=cosines.argmax(axis=-1).transpose(0, 2, 1))


def region_word(words: Floats, regions: Floats) -> Floats:
    """The scores [q, n] of ``match_words`` where nothing is masked."""
    return match_words(words, regions).scores


def bilinear(matrix: Floats | None) -> Bilinear:
    """Bilinear similarity with its trained matrix. SettingError without one."""
    if matrix is None:
        raise SettingError("Bilinear similarity needs the matrix that it was trained with, and none was given.")
    return Bilinear(matrix)


SIMILARITIES: Mapping[str, Callable[[Floats | None], Similarity]] = {
    "cosine": lambda matrix: cosine,
    "euclidean": lambda matrix: euclidean,
    "bilinear": bilinear,
    "region_word": lambda matrix: region_word,
}
"""By name, made with the trained matrix where there is one."""


def best_view(scores: Floats) -> Floats:
    """A picture's score from those of its views: [..., views] gives [...], the highest."""
    best: Floats = scores.max(axis=-1)
    return best


def unit(vectors: Floats) -> Floats:
    """Vectors [..., d] scaled to unit length; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(length, np.float32(1e-12))
    return scaled
