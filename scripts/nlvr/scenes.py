"""Makes scenes of the kind of Cornell NLVR (Suhr et al., ACL 2017): three boxes of towers or of scattered things.

It follows what the development pictures show of how those were drawn, and knows nothing about pixels or sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

BOXES = 3
SIDE = 100  # pixels of a box, wide and high
MOST = 7  # things in a box
FLOORS = 4  # blocks of the highest tower
BLOCK = 20  # pixels of a block of a tower
STEP = BLOCK + 1  # blocks of a tower stand one pixel apart
TOWER_X = 40
COLOURS = ("yellow", "black", "blue")
SHAPES = ("circle", "square", "triangle")
SIZES = (10, 20, 30)
TRIES = 20


@dataclass(frozen=True, slots=True)
class Thing:
    """One coloured shape; ``x`` and ``y`` are its left and top pixel inside its box, ``size`` its pixels both ways."""

    x: int
    y: int
    size: int
    shape: str
    colour: str


@dataclass(frozen=True, slots=True)
class Scene:
    """Three boxes from left to right; in a scene of towers a box lists its blocks from the base up."""

    boxes: tuple[tuple[Thing, ...], ...]
    towers: bool


def towers(rng: np.random.Generator) -> Scene:
    """A tower in each box, one to four blocks high, every block of any colour."""
    heights = rng.integers(1, FLOORS + 1, BOXES)
    return Scene(tuple(tower([COLOURS[c] for c in rng.integers(0, 3, height)]) for height in heights), towers=True)


def tower(colours: Sequence[str]) -> tuple[Thing, ...]:
    """The blocks of a tower, their colours given from the base up."""
    return tuple(
        Thing(TOWER_X, SIDE - BLOCK - STEP * floor, BLOCK, "square", colour) for floor, colour in enumerate(colours)
    )


def scattered(rng: np.random.Generator) -> Scene:
    """One to seven things in each box, of any colour, shape and size."""
    return Scene(tuple(scatter(rng, looks(rng, int(rng.integers(1, MOST + 1)))) for _ in range(BOXES)), towers=False)


def looks(rng: np.random.Generator, count: int) -> list[Thing]:
    """``count`` things of random look, none placed yet."""
    return [
        Thing(0, 0, SIZES[size], SHAPES[shape], COLOURS[colour])
        for size, shape, colour in rng.integers(0, 3, (count, 3))
    ]


def scatter(rng: np.random.Generator, things: Sequence[Thing]) -> tuple[Thing, ...]:
    """The things at random places of one box, none over another; one that finds no place is left out."""
    placed: list[Thing] = []
    for thing in things:
        moved = place(rng, thing, placed)
        if moved is not None:
            placed.append(moved)
    return tuple(placed)


def place(rng: np.random.Generator, thing: Thing, others: Sequence[Thing]) -> Thing | None:
    """The thing at a free place: anywhere, held back by the right and the lower wall, so that many stand there."""
    for x, y in np.minimum(rng.integers(0, SIDE, (TRIES, 2)), SIDE - thing.size).tolist():
        if all(apart(x, y, thing.size, other) for other in others):
            return replace(thing, x=x, y=y)
    return None


def apart(x: int, y: int, size: int, other: Thing) -> bool:
    """Whether a thing there leaves at least one pixel between itself and the other."""
    return x > other.x + other.size or other.x > x + size or y > other.y + other.size or other.y > y + size
