"""Sentences paired with scenes they are true and false of, in equal number for every sentence and every scene.

Thus neither a sentence nor a picture alone tells the label; it knows nothing about files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.evidence import Evidence, outlines
from scripts.nlvr.grammar import Grammar, Senseless, Sentence
from scripts.nlvr.meaning import Amount
from scripts.nlvr.scenes import Scene, scattered, towers
from scripts.nlvr.slips import type_out
from scripts.nlvr.variants import family

MEMBERS = 4  # scenes of a family
NEAR = 0.6  # how often both scenes of a sentence come from one family, if one holds both
ECHO = 0.15  # how often a sentence is one that was heard, if any were
PATIENCE = 60  # sentences in a row that find no scenes before an album is given up as full


@dataclass(frozen=True, slots=True)
class Example:
    """A sentence, the number of its scene in the album, and whether it is true of it.

    ``evidence``: where that is, of which the sentence says how many there are; None where it says something else.
    """

    scene: int
    sentence: str
    label: bool
    kind: str
    evidence: Evidence | None = None


def scenes(rng: np.random.Generator, count: int, towered: bool) -> list[Scene]:
    """Families of similar scenes, one after another; ``count`` is a multiple of MEMBERS."""
    make = towers if towered else scattered
    return [member for _ in range(count // MEMBERS) for member in family(rng, make(rng), MEMBERS)]


def examples(
    rng: np.random.Generator, grammar: Grammar, album: Album, each: int, heard: Sequence[Sentence] = ()
) -> Iterator[Example]:
    """About ``each`` sentences for every scene of the album, half of them true; each sentence once true, once false.

    Some of them are of ``heard``, in the very words given there.
    """
    start = "towers" if album.towers else "scattered"
    wanted = np.full((2, len(album.facts)), each // 2)
    failed = 0
    while failed < PATIENCE:
        echo = bool(heard) and rng.random() < ECHO
        try:
            sentence = heard[int(rng.integers(len(heard)))] if echo else grammar.write(start, rng)
        except Senseless:
            continue
        pair = matched(rng, sentence.meaning(album), wanted)
        if pair is None:
            failed += 1
            continue
        failed = 0
        for label, scene in enumerate(pair):
            wanted[label, scene] -= 1
            text = sentence.text if echo else type_out(sentence.text, rng)
            picked = sentence.meaning.picked(album) if isinstance(sentence.meaning, Amount) else None
            evidence = None if picked is None else outlines(album, picked, scene)
            yield Example(scene, text, bool(label), sentence.kind, evidence)


def matched(rng: np.random.Generator, truth: Mask, wanted: NDArray[np.int64]) -> tuple[int, int] | None:
    """A scene for which it is false and one for which it is true, of those that want one; None if there are none."""
    fits = np.stack([~truth, truth]) & (wanted > 0)
    if not fits.any(1).all():
        return None
    families = fits.reshape(2, -1, MEMBERS).any(2).all(0)
    if rng.random() < NEAR and families.any():
        chosen = int(rng.choice(np.flatnonzero(families)))
        inside = np.zeros(len(truth), bool)
        inside[chosen * MEMBERS : (chosen + 1) * MEMBERS] = True
        fits &= inside
    false, true = (int(rng.choice(np.flatnonzero(row))) for row in fits)
    return false, true
