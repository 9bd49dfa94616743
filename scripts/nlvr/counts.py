"""Questions that count: "how many small yellow circles are there", with the number as the answer.

A right number says more about what was seen than true or false does: a model begins to learn from these, where
statements alone leave it guessing. It knows nothing about files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.scenes import COLOURS, SHAPES, SIZES

SIZE_WORDS = (("small",), ("medium", "medium sized"), ("big", "large"))
THING_WORDS = (("items", "objects", "things", "shapes"), ("items", "objects", "blocks", "blocks"))
PLACES = ("in the left box", "in the middle box", "in the right box")
ASKED = ("how many {} are there", "how many {} do you see", "how many {}", "count the {}", "number of {}")
LOOKS = 0.75  # how often a colour is named


@dataclass(frozen=True, slots=True)
class Count:
    """A question, the number of its scene in the album, and the answer."""

    scene: int
    question: str
    answer: str


def counts(rng: np.random.Generator, album: Album, each: int) -> Iterator[Count]:
    """``each`` questions about every scene of the album."""
    for scene in range(len(album.facts)):
        for _ in range(each):
            words, mask = asked_for(rng, album)
            question = ASKED[int(rng.integers(len(ASKED)))].format(words)
            yield Count(scene, question, str(int(mask[scene].sum())))


def asked_for(rng: np.random.Generator, album: Album) -> tuple[str, Mask]:
    """Things of a random look and place in words, and where they are [scenes, 3, 8]."""
    mask, words = album.there, list[str]()
    if not album.towers and rng.random() < 0.2:
        size = int(rng.integers(3))
        mask, words = mask & album.size(SIZES[size]), [pick(rng, SIZE_WORDS[size])]
    if rng.random() < LOOKS:
        colour = pick(rng, COLOURS)
        mask, words = mask & album.colour(colour), [*words, colour]
    if not album.towers and rng.random() < 0.5:
        shape = pick(rng, SHAPES)
        mask, words = mask & album.shape(shape), [*words, f"{shape}s"]
    else:
        words = [*words, pick(rng, THING_WORDS[album.towers])]
    if rng.random() < 0.25:
        box = int(rng.integers(3))
        only = np.zeros_like(mask)
        only[:, box] = True
        mask, words = mask & only, [*words, PLACES[box]]
    return " ".join(words), mask


def pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    """One of them."""
    return words[int(rng.integers(len(words)))]
