"""Questions that count paired with scenes: "how many towers with a blue base", with the number as the answer.

A right number says more about what was seen than true or false does: a model begins to learn from these, where
statements alone leave it guessing. It knows nothing about words and files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.nlvr.album import Album, Counts
from scripts.nlvr.evidence import Evidence, outlines
from scripts.nlvr.examples import MEMBERS, NEAR, PATIENCE
from scripts.nlvr.grammar import Grammar, Senseless


@dataclass(frozen=True, slots=True)
class Count:
    """A question, the number of its scene in the album, the answer, and where what it counts is."""

    scene: int
    question: str
    answer: int
    kind: str
    evidence: Evidence


def counts(rng: np.random.Generator, grammar: Grammar, album: Album, each: int) -> Iterator[Count]:
    """About ``each`` questions about every scene of the album; each question of two scenes that differ in its number.

    Thus no question tells its answer.
    """
    start = "towers_asked" if album.towers else "scattered_asked"
    wanted = np.full(len(album.facts), each)
    failed = 0
    while failed < PATIENCE:
        try:
            question = grammar.write(start, rng)
        except Senseless:
            continue
        numbers = question.meaning(album)
        pair = differing(rng, numbers, wanted > 0)
        if pair is None:
            failed += 1
            continue
        failed = 0
        for scene in pair:
            wanted[scene] -= 1
            evidence = outlines(album, question.meaning.picked(album), scene)
            yield Count(scene, question.text, int(numbers[scene]), question.kind, evidence)


def differing(rng: np.random.Generator, numbers: Counts, fits: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Two of the scenes that fit with different numbers, often of one family; the numbers are drawn alike."""
    within = numbers.reshape(-1, MEMBERS)
    free = fits.reshape(-1, MEMBERS)
    families = np.flatnonzero(np.where(free, within, -1).max(1) > np.where(free, within, np.iinfo(np.int64).max).min(1))
    if len(families) and rng.random() < NEAR:
        # A family that holds the rarest numbers is as likely as one that holds zeros.
        tops = np.where(free, within, -1).max(1)[families]
        chosen = int(rng.choice(families[tops == rng.choice(np.unique(tops))]))
        places = np.arange(chosen * MEMBERS, (chosen + 1) * MEMBERS)
        places = places[fits[places]]
    else:
        places = np.flatnonzero(fits)
    kinds = np.unique(numbers[places])
    if len(kinds) < 2:
        return None
    first, second = rng.choice(kinds, 2, replace=False)
    one, other = (int(rng.choice(places[numbers[places] == number])) for number in (first, second))
    return one, other
