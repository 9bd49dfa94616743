"""Some queries with what was found, and the worst mistakes, as pictures to look at.

It knows rankings and records; it knows nothing about how a report shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from open_autoglm.data.pictures import source_of
from open_autoglm.data.records import Record
from open_autoglm.errors import ImageError
from open_autoglm.runtime.images import ImageLimits, thumbnail

from .directions import Ints, Ranking

LONGEST = 192  # pixels of a thumbnail's longer side: sharp at 96 on a dense screen


@dataclass(frozen=True)
class Shown:
    """A picture (JPEG bytes, empty where it cannot be read) or a text, and whether it is a right answer."""

    text: str
    thumbnail: bytes = field(default=b"", repr=False)
    score: float = 0.0
    right: bool = True


@dataclass(frozen=True)
class Example:
    """A query, what was found for it, best first, and the place of the first right answer, from 1."""

    query: Shown
    answers: tuple[Shown, ...]
    found_at: int


@dataclass(frozen=True)
class Mistake:
    """A picture that a wrong text fits better, by ``margin``, than any of its own."""

    picture: Shown
    truth: str
    taken: str
    margin: float


class Gallery:
    """Shows pictures as thumbnails, each made once."""

    def __init__(self, records: Sequence[Record], limits: ImageLimits) -> None:
        self._records = records
        self._limits = limits
        self._made: dict[int, bytes] = {}

    def shown(self, number: int, score: float = 0.0, right: bool = True) -> Shown:
        """A picture; its first caption describes it to those who do not see it."""
        record = self._records[number]
        if number not in self._made:
            try:
                self._made[number] = thumbnail(source_of(record.picture, self._limits), LONGEST, self._limits)
            except ImageError:  # gone since it was embedded
                self._made[number] = b""
        return Shown(record.captions[0], self._made[number], score, right)


def from_texts(
    ranking: Ranking, texts: Sequence[str], pictures_of: Sequence[Ints], gallery: Gallery, count: int, seed: int = 0
) -> tuple[Example, ...]:
    """``count`` texts drawn at random, each with the pictures found for it."""
    return tuple(
        Example(
            Shown(texts[query]),
            tuple(
                gallery.shown(number, score, number in pictures_of[query])
                for number, score in zip(ranking.top[query].tolist(), ranking.scores[query].tolist(), strict=True)
            ),
            int(ranking.first[query]),
        )
        for query in drawn(ranking, count, seed)
    )


def from_pictures(
    ranking: Ranking, texts: Sequence[str], texts_of: Sequence[Ints], gallery: Gallery, count: int, seed: int = 0
) -> tuple[Example, ...]:
    """``count`` pictures drawn at random, each with the texts found for it."""
    return tuple(
        Example(
            gallery.shown(query),
            tuple(
                Shown(texts[number], b"", score, number in texts_of[query])
                for number, score in zip(ranking.top[query].tolist(), ranking.scores[query].tolist(), strict=True)
            ),
            int(ranking.first[query]),
        )
        for query in drawn(ranking, count, seed)
    )


def mistakes(
    ranking: Ranking, texts: Sequence[str], texts_of: Sequence[Ints], gallery: Gallery, count: int
) -> tuple[Mistake, ...]:
    """The ``count`` pictures whose best text is wrong by the widest margin."""
    wrong = np.flatnonzero(ranking.first > 1)
    margins = ranking.scores[:, 0] - ranking.own
    found = []
    for query in wrong[np.argsort(-margins[wrong], kind="stable")][:count].tolist():
        best = int(ranking.top[query, 0])
        found.append(Mistake(gallery.shown(query), texts[texts_of[query][0]], texts[best], float(margins[query])))
    return tuple(found)


def drawn(ranking: Ranking, count: int, seed: int) -> list[int]:
    """Queries that have an answer, drawn without looking at how they fared."""
    asked = np.flatnonzero(ranking.first > 0)
    chosen = np.random.default_rng(seed).choice(asked, min(count, len(asked)), replace=False)
    found: list[int] = sorted(chosen.tolist())
    return found
