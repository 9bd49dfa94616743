"""Many scenes as arrays, so that a sentence is judged of hundreds of them at once, and what can be seen in them.

Every fact is a mask over ``[scenes, 3 boxes, 7 places]``, false where there is no thing; it knows nothing about words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scripts.nlvr.scenes import BOXES, COLOURS, MOST, SHAPES, SIDE, SIZES, Scene

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

X, Y, SIZE, SHAPE, COLOUR = range(5)
TOUCHING = 0  # pixels to a wall that is touched; the labels of real sentences count no wider gap
CLOSELY = 3  # pixels to a wall that is "closely" or "nearly" touched
BESIDE = 1  # pixels between things that touch each other, which is how near the blocks of a tower stand
SIDES = ("left", "right", "bottom", "top")


@dataclass(frozen=True)
class Album:
    """Scenes of one sort; ``facts [S, 3, 7, 5]`` holds x, y, size and the numbers of shape and colour; -1: no thing."""

    facts: NDArray[np.int16]
    towers: bool

    @classmethod
    def of(cls, scenes: Sequence[Scene]) -> Album:
        """The scenes in order; all must be towers, or all scattered."""
        facts = np.full((len(scenes), BOXES, MOST, 5), -1, np.int16)
        for number, scene in enumerate(scenes):
            for box, things in enumerate(scene.boxes):
                for place, thing in enumerate(things):
                    look = (SHAPES.index(thing.shape), COLOURS.index(thing.colour))
                    facts[number, box, place] = (thing.x, thing.y, thing.size, *look)
        return cls(facts, towers=scenes[0].towers)

    @cached_property
    def there(self) -> Mask:
        """Where there is a thing at all."""
        return self.facts[..., SIZE] > 0

    def colour(self, name: str) -> Mask:
        """The things of this colour."""
        found: Mask = self.facts[..., COLOUR] == COLOURS.index(name)
        return found

    def shape(self, name: str) -> Mask:
        """The things of this shape."""
        found: Mask = self.facts[..., SHAPE] == SHAPES.index(name)
        return found

    def size(self, pixels: int) -> Mask:
        """The things of this size."""
        found: Mask = self.facts[..., SIZE] == pixels
        return found

    @cached_property
    def colours(self) -> Mask:
        """Which colours each box has, ``[S, 3, 3]``."""
        return np.stack([self.colour(name).any(-1) for name in COLOURS], -1)

    @cached_property
    def shapes(self) -> Mask:
        """Which shapes each box has, ``[S, 3, 3]``."""
        return np.stack([self.shape(name).any(-1) for name in SHAPES], -1)

    @cached_property
    def sizes(self) -> Mask:
        """Which sizes each box has, ``[S, 3, 3]``."""
        return np.stack([self.size(pixels).any(-1) for pixels in SIZES], -1)

    @cached_property
    def height(self) -> Counts:
        """How many things are in each box, ``[S, 3]``: of a tower, its height in blocks."""
        counted: Counts = self.there.sum(-1)
        return counted

    def gap(self, side: str) -> NDArray[np.int16]:
        """Pixels between each thing and a wall of its box."""
        x, y, size = self.facts[..., X], self.facts[..., Y], self.facts[..., SIZE]
        match side:
            case "left":
                return x
            case "right":
                return SIDE - x - size
            case "top":
                return y
            case _:
                return SIDE - y - size

    def wall(self, side: str, gap: int = TOUCHING) -> Mask:
        """The things at most so far from this wall."""
        return (self.gap(side) <= gap) & self.there

    def walls(self, gap: int = TOUCHING) -> Mask:
        """The things at most so far from any wall; of a tower, its base, which stands on the lower one."""
        left, right, bottom, top = (self.wall(side, gap) for side in SIDES)
        return left | right | bottom | top

    def corner(self, gap: int = TOUCHING) -> Mask:
        """The things at most so far from two walls that meet."""
        left, right, bottom, top = (self.wall(side, gap) for side in SIDES)
        return (left | right) & (bottom | top)

    @cached_property
    def near(self) -> NDArray[np.int16]:
        """Pixels between every two things of a box, the larger of both directions, ``[S, 3, 7, 7]``; 99 if no such."""
        x, y, size = (self.facts[..., fact].astype(np.int16) for fact in (X, Y, SIZE))
        across = np.maximum(x[..., None, :] - (x + size)[..., None], x[..., None] - (x + size)[..., None, :])
        down = np.maximum(y[..., None, :] - (y + size)[..., None], y[..., None] - (y + size)[..., None, :])
        pairs = self.there[..., None] & self.there[..., None, :] & ~np.eye(MOST, dtype=bool)
        return np.where(pairs, np.maximum(across, down), 99)

    @cached_property
    def above(self) -> Mask:
        """Whether the first thing lies right above the second, ``[S, 3, 7, 7]``: of blocks, the next one up."""
        x, y, size = (self.facts[..., fact] for fact in (X, Y, SIZE))
        over = (x[..., None] < (x + size)[..., None, :]) & (x[..., None, :] < (x + size)[..., None])
        return (self.near <= BESIDE) & over & (y[..., None] < y[..., None, :])

    def floor(self, number: int) -> Mask:
        """The blocks this far up their towers: 0 is the base, -1 the top, -2 the one under it."""
        wanted = np.where(number < 0, self.height + number, number)
        found: Mask = (np.arange(MOST) == wanted[..., None]) & self.there
        return found

    @cached_property
    def highest(self) -> Mask:
        """The thing of each box whose upper edge is highest: of a tower, its top."""
        y = np.where(self.there, self.facts[..., Y], 2 * SIDE)
        found: Mask = (y == y.min(-1, keepdims=True)) & self.there
        return found
