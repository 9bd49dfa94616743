"""The parts of what a sentence can mean of many scenes at once, and how they combine into its truth.

A quantity judges counts, a description picks things, a property judges boxes; it knows nothing about words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scripts.nlvr.album import Album, Counts, Mask

Quantity = Callable[[Counts], NDArray[np.bool_]]
Things = Callable[[Album], Mask]  # [S, 3, 7]
Property = Callable[[Album], Mask]  # [S, 3], of a box or of the tower in it
Truth = Callable[[Album], Mask]  # [S]


@dataclass(frozen=True)
class Number:
    """How many things or boxes ``picked`` picks, ``[S]``."""

    picked: Callable[[Album], Mask]

    def __call__(self, album: Album) -> Counts:
        picked = self.picked(album)
        counted: Counts = picked.reshape(len(picked), -1).sum(1)
        return counted


@dataclass(frozen=True)
class Amount:
    """A truth that rests on how many ``picked`` picks."""

    quantity: Quantity
    picked: Callable[[Album], Mask]

    def __call__(self, album: Album) -> Mask:
        return self.quantity(Number(self.picked)(album))


def exactly(number: int) -> Quantity:
    """Neither more nor fewer."""
    return lambda counts: counts == number


def at_least(number: int) -> Quantity:
    """This many or more."""
    return lambda counts: counts >= number


def at_most(number: int) -> Quantity:
    """This many or fewer, but some."""
    return lambda counts: (counts <= number) & (counts > 0)


def none() -> Quantity:
    """Not one."""
    return exactly(0)


def anything(album: Album) -> Mask:
    """Every thing."""
    return album.there


def both(*masks: Callable[[Album], Mask]) -> Callable[[Album], Mask]:
    """What all say together."""
    return lambda album: np.logical_and.reduce([mask(album) for mask in masks])


def either(*masks: Callable[[Album], Mask]) -> Callable[[Album], Mask]:
    """What any of them says."""
    return lambda album: np.logical_or.reduce([mask(album) for mask in masks])


def opposite(things: Things) -> Things:
    """The things that are not these."""
    return lambda album: ~things(album) & album.there


def count(quantity: Quantity, things: Things) -> Truth:
    """So many such things in the whole picture."""
    return Amount(quantity, things)


def boxes(quantity: Quantity, holds: Property) -> Truth:
    """So many boxes of which this holds."""
    return Amount(quantity, holds)


def has(quantity: Quantity, things: Things) -> Property:
    """Boxes with so many such things."""
    return lambda album: quantity(things(album).sum(2))


def only(*sorts: Things) -> Property:
    """Boxes with things of every one of these sorts and of no other."""
    present = [has(at_least(1), sort) for sort in sorts]
    return both(*present, has(none(), opposite(either(*sorts))))


def linked(first: Things, pairs: Callable[[Album], Mask], second: Things) -> Things:
    """The things of the first sort that stand in this relation, ``[S, 3, 7, 7]``, to one of the second."""
    return lambda album: first(album) & (pairs(album) & second(album)[:, :, None, :]).any(-1)
