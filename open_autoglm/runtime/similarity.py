"""How close sentences and pictures are, for arrays: cosine, Euclidean, bilinear, and region-word late interaction.

The same definitions for tensors live in ``modeling/similarity.py``; a test holds the two together. It knows nothing
about models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle

from ..errors import SettingError

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
LOWEST_COSINE = -1.0
BLOCK_CELLS = 1 << 24  # numbers of regions, and cosines with words, that are held at a time: 64 MiB


@dataclass(frozen=True)
class Words:
    """Unit vectors [q, words, d] of sentences' words, and which of them there are [q, words].

    ``texts``, alike: the words as they were written; empty for what a tokenizer adds of its own.
    """

    vectors: Floats
    mask: Mask
    texts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Queries:
    """Sentences as they are compared: a unit vector each [q, d], and their words where a similarity needs them."""

    vectors: Floats
    words: Words | None = None

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice | Sequence[int] | Ints) -> Queries:
        """Some of the sentences."""
        if self.words is None:
            return Queries(self.vectors[rows])
        texts = tuple(self.words.texts[row] for row in np.arange(len(self))[rows])
        return Queries(self.vectors[rows], Words(self.words.vectors[rows], self.words.mask[rows], texts))

    @classmethod
    def none(cls, dimension: int, words: bool) -> Queries:
        """No sentence, to join others to; ``words``: they have them."""
        vectors = np.zeros((0, dimension), np.float32)
        return cls(vectors, Words(vectors[:, None], np.zeros((0, 1), np.bool_), ()) if words else None)

    @classmethod
    def joined(cls, parts: Sequence[Queries]) -> Queries:
        """Several as one, in their order; at least one."""
        vectors = np.concatenate([part.vectors for part in parts])
        words = [part.words for part in parts if part.words is not None]
        if not words:
            return cls(vectors)
        width = max(part.mask.shape[1] for part in words)
        padded = [((0, 0), (0, width - part.mask.shape[1])) for part in words]
        inner = np.concatenate([np.pad(part.vectors, (*pad, (0, 0))) for part, pad in zip(words, padded, strict=True)])
        mask = np.concatenate([np.pad(part.mask, pad) for part, pad in zip(words, padded, strict=True)])
        texts = tuple((*mine, *[""] * (width - len(mine))) for part in words for mine in part.texts)
        return cls(vectors, Words(inner, mask, texts))

    def as_one(self) -> Queries:
        """All of them as a single query: the mean of the vectors, at unit length, and the words of each."""
        vector = unit(self.vectors.sum(axis=0, keepdims=True))
        if self.words is None:
            return Queries(vector)
        there = self.words.mask
        texts = tuple(self.words.texts[row][place] for row, place in np.argwhere(there).tolist())
        return Queries(vector, Words(self.words.vectors[there][None], there[there][None], (texts,)))


class Similarity(Protocol):
    """Sentences [q] against the unit vectors of pictures [n, views, d]: [q, n], higher is closer.

    A picture's score is that of its best view, so the first view alone compares whole pictures. A similarity that
    ``needs_parts`` compares words with regions, and takes all views.
    """

    needs_parts: bool

    def __call__(self, queries: Queries, views: Floats, /) -> Floats: ...

    def probes(self, queries: Queries) -> Floats:
        """Vectors [p, d]: what is close to a sentence has a view whose inner product with one of them is high."""
        ...


class Cosine:
    """The inner product of unit vectors, in -1..1."""

    needs_parts = False

    def __call__(self, queries: Queries, views: Floats) -> Floats:
        return bounded(best_view(cosine(queries.vectors, views)))

    def probes(self, queries: Queries) -> Floats:
        return queries.vectors


class Euclidean:
    """The negative squared distance, at most 0; of unit vectors it is 2 cos - 2, and ranks as the cosine does."""

    needs_parts = False

    def __call__(self, queries: Queries, views: Floats) -> Floats:
        return best_view(euclidean(queries.vectors, views))

    def probes(self, queries: Queries) -> Floats:
        return queries.vectors


@dataclass(frozen=True)
class Bilinear:
    """``image @ matrix @ text`` with the trained ``matrix`` [d, d]; the pictures' vectors stay as they are."""

    matrix: Floats
    needs_parts = False

    def fold(self, queries: Floats) -> Floats:
        """Texts [q, d] with the matrix folded in, not of unit length: their inner products are the similarity."""
        folded: Floats = queries @ self.matrix.T
        return folded

    def __call__(self, queries: Queries, views: Floats) -> Floats:
        return best_view(cosine(self.fold(queries.vectors), views))

    def probes(self, queries: Queries) -> Floats:
        return self.fold(queries.vectors)


class RegionWord:
    """For each word the cosine of its best region; the mean over the words, in -1..1: late interaction."""

    needs_parts = True

    def __call__(self, queries: Queries, views: Floats) -> Floats:
        words, regions = words_of(queries), regions_of(views)
        scores = np.empty((len(queries), len(regions)), np.float32)
        for rows in blocks(len(regions), (words.mask.size + regions.shape[2]) * regions.shape[1]):
            scores[:, rows] = mean_of_best(word_cosines(words.vectors, regions[rows]).max(axis=-1), words.mask)
        return bounded(scores)

    def probes(self, queries: Queries) -> Floats:
        words = words_of(queries)
        return np.concatenate([words.vectors[words.mask], queries.vectors])


@dataclass(frozen=True)
class WordMatches:
    """How well texts match pictures, ``scores`` [q, n]; each word's best region and its cosine [q, n, words].

    The last two are of no meaning for a word that is not there.
    """

    scores: Floats
    regions: Ints
    cosines: Floats


def match_words(
    words: Floats, regions: Floats, word_mask: Mask | None = None, region_mask: Mask | None = None
) -> WordMatches:
    """For each word the cosine of its best region; the mean over the words (SCAN, 1803.08024; FILIP, 2111.07783).

    ``words`` [q, words, d] and ``regions`` [n, regions, d] are unit vectors; the masks say which of them there are.
    A sentence without words scores 0, a picture without regions -1.
    """
    cosines = word_cosines(words, regions)
    if region_mask is not None:
        cosines = np.where(region_mask, cosines, np.float32(LOWEST_COSINE))
    best = cosines.max(axis=-1)
    return WordMatches(
        scores=mean_of_best(best, np.ones(words.shape[:2], bool) if word_mask is None else word_mask),
        regions=cosines.argmax(axis=-1).transpose(0, 2, 1),
        cosines=best.transpose(0, 2, 1),
    )


def word_cosines(words: Floats, regions: Floats) -> Floats:
    """Every word [q, words, d] against every region [n, regions, d]: [q, words, n, regions]."""
    return cosine(words.reshape(-1, words.shape[-1]), regions).reshape(*words.shape[:2], *regions.shape[:2])


def mean_of_best(best: Floats, word_mask: Mask) -> Floats:
    """The mean [q, n] over the words that there are of each word's best cosine [q, words, n]; 0 without words."""
    there = np.maximum(word_mask.sum(axis=1), 1)[:, None].astype(np.float32)
    mean: Floats = (best * word_mask[:, :, None]).sum(axis=1) / there
    return mean


def words_of(queries: Queries) -> Words:
    """The sentences' words. SettingError where they were embedded without."""
    if queries.words is None:
        raise SettingError("Region-word similarity needs a model that was trained with it; choose cosine.")
    return queries.words


def regions_of(views: Floats) -> Floats:
    """What words are compared with [n, regions, d]: all views but the whole, or the whole where there is no other."""
    return views[:, 1:] if views.shape[1] > 1 else views


def bilinear(matrix: Floats | None) -> Bilinear:
    """Bilinear similarity with its trained matrix. SettingError without one."""
    if matrix is None:
        raise SettingError("Bilinear similarity needs the matrix that it was trained with, and this model has none.")
    return Bilinear(matrix)


SIMILARITIES: Mapping[str, Callable[[Floats | None], Similarity]] = {
    "cosine": lambda matrix: Cosine(),
    "euclidean": lambda matrix: Euclidean(),
    "bilinear": bilinear,
    "region_word": lambda matrix: RegionWord(),
}
"""By name, made with the trained matrix where there is one."""


def read_similarity(bundle: Bundle) -> Similarity:
    """The similarity that a bundle was trained with."""
    facts = bundle.manifest.similarity
    matrix = bundle.weights.float32(facts["matrix"]) if "matrix" in facts else None
    return SIMILARITIES[facts["kind"]](matrix)


def cosine(queries: Floats, vectors: Floats) -> Floats:
    """Cosine similarity of unit vectors: queries [q, d] against vectors [..., d] gives [q, ...]."""
    flat = vectors.reshape(-1, vectors.shape[-1])
    scores: Floats = (queries @ flat.T).reshape(len(queries), *vectors.shape[:-1])
    return scores


def euclidean(queries: Floats, vectors: Floats) -> Floats:
    """Negative squared distance, at most 0: queries [q, d] against vectors [..., d] gives [q, ...]."""
    # Not np.square: the squares of a whole index would not fit in memory.
    of_queries, of_vectors = (np.einsum("...d,...d->...", one, one) for one in (queries, vectors))
    scores = 2 * cosine(queries, vectors)
    scores -= of_vectors
    scores -= of_queries.reshape(-1, *[1] * of_vectors.ndim)
    return np.minimum(scores, 0, out=scores)


def best_view(scores: Floats) -> Floats:
    """A picture's score from those of its views: [..., views] gives [...], the highest."""
    best: Floats = scores.max(axis=-1)
    return best


def bounded(scores: Floats) -> Floats:
    """Cosines in -1..1, which vectors that are stored or added up with rounding may miss by a little."""
    return np.minimum(np.maximum(scores, -1), 1)  # clip takes three times as long for a few


def blocks(rows: int, cells: int) -> Iterator[slice]:
    """Ranges of rows, of so many cells each, that are compared at a time."""
    size = max(1, BLOCK_CELLS // max(1, cells))
    return (slice(start, start + size) for start in range(0, rows, size))


def unit(vectors: Floats) -> Floats:
    """Vectors [..., d] scaled to unit length; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: Floats = vectors / np.maximum(length, np.float32(1e-12))
    return scaled
