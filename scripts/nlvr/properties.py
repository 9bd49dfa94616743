"""What can be true of things, boxes and towers: the facts of an album put together into what annotators talk about.

It knows nothing about words.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scripts.nlvr.album import BESIDE, COLOUR, TOUCHING, Album, Mask
from scripts.nlvr.grammar import Senseless
from scripts.nlvr.meaning import (
    Property,
    Quantity,
    Things,
    Truth,
    at_least,
    both,
    boxes,
    count,
    either,
    exactly,
    has,
    linked,
    none,
    only,
    opposite,
)
from scripts.nlvr.scenes import COLOURS, SHAPES

Fact = Callable[[Album], NDArray[np.int64]]  # [S, 3], one number a box


def sensible(condition: bool) -> None:
    """Stops a rule whose parts do not go together. Raises Senseless."""
    if not condition:
        raise Senseless


def coloured(name: str) -> Things:
    """The things of a colour."""
    return lambda album: album.colour(name)


def shaped(name: str) -> Things:
    """The things of a shape."""
    return lambda album: album.shape(name)


def sized(pixels: int) -> Things:
    """The things of a size."""
    return lambda album: album.size(pixels)


def holds(things: Things) -> Property:
    """Boxes with one such thing or more."""
    return has(at_least(1), things)


def total(quantity: Quantity) -> Property:
    """Boxes with so many things: towers of so many blocks."""
    return lambda album: quantity(album.height)


def colours(quantity: Quantity) -> Property:
    """Boxes of so many different colours."""
    return lambda album: quantity(album.colours.sum(-1))


def of_colours(*names: str) -> Property:
    """Boxes with each of these colours and with no other."""
    sensible(len(set(names)) == len(names))
    return only(*map(coloured, names))


def sorts(*counted: tuple[Quantity, str]) -> Property:
    """Boxes with so many things of each of these colours, all different, whatever else they hold."""
    sensible(len({name for _, name in counted}) == len(counted))
    return both(*(has(quantity, coloured(name)) for quantity, name in counted))


def alike(number: int) -> Property:
    """Boxes with so many things of one colour, or more."""
    return either(*(has(at_least(number), coloured(name)) for name in COLOURS))


def one_shape(number: int, things: Things) -> Property:
    """Boxes with so many such things, or more, of one shape."""
    return either(*(has(at_least(number), both(things, shaped(name))) for name in SHAPES))


def sized_differently(album: Album) -> Mask:
    """Whether the things of a box are of more than one size."""
    mixed: Mask = album.sizes.sum(-1) > 1
    return mixed


def at_wall(side: str = "any", gap: int = TOUCHING) -> Things:
    """The things that touch a wall: ``any``, ``left``, ``right``, ``bottom`` or ``top``."""
    return lambda album: album.walls(gap) if side == "any" else album.wall(side, gap)


def in_corner(gap: int = TOUCHING) -> Things:
    """The things that touch two walls at once."""
    return lambda album: album.corner(gap)


def beside(first: Things, second: Things) -> Things:
    """Things of the first sort that touch one of the second."""
    return linked(first, lambda album: album.near <= BESIDE, second)


def floor(number: int) -> Things:
    """The block of each tower this far up from the base, or down from the top (-1)."""
    return lambda album: album.floor(number)


def inner(album: Album) -> Mask:
    """Blocks that are neither base nor top."""
    return album.there & ~album.floor(0) & ~album.floor(-1)


def on(first: Things, second: Things, up: bool = True) -> Things:
    """Blocks of the first sort right on one of the second, or right under one."""
    return linked(first, lambda album: album.above if up else album.above.swapaxes(-1, -2), second)


def between(middle: Things, around: Things) -> Things:
    """Blocks with such a block right under and right over them."""
    return both(on(middle, around), on(middle, around, up=False))


def between_alike(middle: Things, topmost: bool = False) -> Property:
    """Towers with such a block between two of one colour, the upper one the top of all if so wanted."""

    def holds_it(album: Album) -> Mask:
        looks, upper = album.facts[..., COLOUR], album.floor(-1) if topmost else album.there
        found: Mask = (middle(album)[..., 1:-1] & (looks[..., :-2] == looks[..., 2:]) & upper[..., 2:]).any(-1)
        return found

    return holds_it


def together(colour: Things, number: int) -> Property:
    """So many blocks of a colour, or more, in a row."""

    def holds_it(album: Album) -> Mask:
        mask = colour(album)
        run = mask
        for step in range(1, number):
            run = np.logical_and(run[..., :-1], mask[..., step:])
        found: Mask = np.asarray(run.any(-1))
        return found

    return holds_it


def together_alike(number: int) -> Property:
    """So many blocks of any one colour, or more, in a row."""
    rows = [together(coloured(name), number) for name in COLOURS]
    return lambda album: np.logical_or.reduce([row(album) for row in rows])


def height(album: Album) -> NDArray[np.int64]:
    """The number of things of each box."""
    return album.height


def colour_at(number: int) -> Fact:
    """The number of the colour of this block of each tower; of its own for towers that do not reach so far."""

    def value(album: Album) -> NDArray[np.int64]:
        place = album.floor(number)
        found = (place * album.facts[..., COLOUR]).sum(-1)
        return np.where(place.any(-1), found, -1 - np.arange(place.shape[1]))

    return value


def shared(quantity: Quantity, fact: Fact) -> Truth:
    """So many boxes have one value of the fact in common: 1 if all differ."""

    def holds_it(album: Album) -> Mask:
        values = fact(album)
        return quantity((values[:, :, None] == values[:, None, :]).sum(-1).max(1))

    return holds_it


def at_heights(first: int, second: int) -> Truth:
    """Towers of both heights are there."""
    sensible(first != second)
    return both(boxes(at_least(1), total(exactly(first))), boxes(at_least(1), total(exactly(second))))


def different_heights(towers: Property) -> Truth:
    """Two such towers, at least, differ in height."""

    def holds_it(album: Album) -> Mask:
        wanted = towers(album)
        highest, lowest = np.where(wanted, album.height, -1).max(1), np.where(wanted, album.height, 99).min(1)
        differ: Mask = wanted.any(1) & (highest != lowest)
        return differ

    return holds_it


def colours_of(number: int, things: Things) -> Truth:
    """Such things are of so many colours."""

    def holds_it(album: Album) -> Mask:
        found = things(album)
        shown: Mask = np.stack([(found & album.colour(name)).any((1, 2)) for name in COLOURS]).sum(0) == number
        return shown

    return holds_it


def in_one_box(things: Things) -> Truth:
    """Such things are there, in one box alone."""
    return boxes(exactly(1), holds(things))


def all_are(things: Things, those: Things) -> Truth:
    """Such things are there, and all are those."""
    return both(count(at_least(1), things), count(none(), both(things, opposite(those))))
