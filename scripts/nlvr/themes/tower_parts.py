"""The words for what a tower is like: its height, its ends, blocks over blocks, how many of which colour.

It knows nothing about whole sentences. A block is over another where it lies right on it.
"""

from __future__ import annotations

from functools import partial

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Property, Quantity, Things, at_least, at_most, both, exactly, has, only, opposite
from scripts.nlvr.properties import (
    alike,
    between_alike,
    colours,
    floor,
    holds,
    inner,
    of_colours,
    on,
    sensible,
    sorts,
    together,
    together_alike,
    total,
)


def add_tower_parts(grammar: Grammar) -> None:
    """Parts ``tall``, ``ends``, ``stack`` and ``stock``, properties of towers; ``end``, ``nth`` and ``over``."""
    _heights(grammar)
    _ends(grammar)
    _stacks(grammar)
    _stocks(grammar)
    _colours(grammar)
    grammar.add("property", "{ends}", lambda ends: ends, 3)
    grammar.add("property", "{stack}", lambda stack: stack, 1.2)
    grammar.add("property", "{stock}", lambda stock: stock, 1.5)


def _heights(grammar: Grammar) -> None:
    add = partial(grammar.add, "tall")
    add("{high} (blocks*3|block|items)", lambda number: total(exactly(number)), 6)
    add("(exactly*2|only) {high} blocks", lambda number: total(exactly(number)), 4)
    add("(only|exactly|) (one|1) (block*2|object)", lambda: total(exactly(1)), 2)
    add("a single block", lambda: total(exactly(1)), 0.3)
    add("at least {few} blocks", lambda number: total(at_least(number)), 2)
    add("at most {few} blocks", lambda number: total(at_most(number)), 0.5)
    add("more than (one|1) block", lambda: total(at_least(2)), 0.4)
    add("more than {few} blocks", lambda number: total(at_least(number + 1)), 0.5)
    add("less than {few} blocks", lambda number: total(at_most(number - 1)), 0.2)


def _ends(grammar: Grammar) -> None:
    grammar.words("end", {"base": 0}, 2)
    grammar.words("end", {"bottom": 0}, 0.5)
    grammar.words("end", {"top": -1}, 2.5)
    grammar.words("nth", {"second": 1}, 2)
    grammar.words("nth", {"third": 2})
    place = partial(grammar.add, "place")
    place("(at the*3|at|as the|as a) {end}", floor, 8)
    place("(on the top|on top|in the top)", lambda: floor(-1), 0.7)
    place("in the middle", lambda: inner, 0.3)

    add = partial(grammar.add, "ends")
    add("(a*4|) {colour} block {place}", lambda colour, where: holds(both(colour, where)), 6)
    add("(1|one) {colour} block {place}", lambda colour, where: holds(both(colour, where)), 1.2)
    add("(a|the|only|) {colour} {end}", lambda colour, end: holds(both(colour, floor(end))), 1.5)
    add("a {colour} block as (a|the) middle block", lambda colour: holds(both(colour, inner)), 0.3)
    add("a {colour} block as the {nth} (block|level)", lambda colour, nth: holds(both(colour, floor(nth))), 0.2)
    add("(a|) {colour} {nth} block", lambda colour, nth: holds(both(colour, floor(nth))), 0.3)


def _stacks(grammar: Grammar) -> None:
    grammar.words("over", {"over*2|above*2|on top of|on": True}, 4)
    grammar.words("over", {"below*2|under|beneath": False})
    add = partial(grammar.add, "stack")
    add("a {colour} (block*3|object) {over} a {colour} (block*3|object)", _stacked, 6)
    add("(a|) {colour} block {over} (the|) {colour} block", _stacked, 0.7)
    add(
        "a {colour} block {over} (a different colored block|a block of different color)",
        lambda colour, up: holds(on(colour, opposite(colour), up)),
        0.2,
    )
    add("a {colour} block below the top block", lambda colour: holds(both(colour, floor(-2))), 0.3)
    add("a {colour} block above the base block", lambda colour: holds(both(colour, floor(1))), 0.2)
    add("a {colour} block above (the|) base block of different color", _off_base, 0.2)
    add("a {colour} block {over} a {colour} block at the {end}", _stacked_at, 0.4)
    add("a {colour} block (between|in between) two blocks of (the|) same color", between_alike, 0.3)


def _stacked(first: Things, up: bool, second: Things) -> Property:
    return holds(on(first, second, up))


def _stacked_at(first: Things, up: bool, second: Things, end: int) -> Property:
    sensible(up == (end == 0))
    return holds(on(first, both(second, floor(end)), up))


def _off_base(colour: Things) -> Property:
    return holds(on(colour, both(opposite(colour), floor(0))))


def _stocks(grammar: Grammar) -> None:
    add = partial(grammar.add, "stock")
    add("{lone} {colour} block", has, 2)
    add("at least (1|one|a) {colour} block", holds, 2)
    add("a {colour} block", holds, 1)
    add("{many} {colour} blocks", has, 5)
    add("{colour} blocks", holds, 0.5)
    add("exactly one {colour} block which is {place}", lambda c, p: both(has(exactly(1), c), holds(both(c, p))), 0.2)
    add(
        "{few} {colour} blocks above the base of a tower",
        lambda n, c: has(at_least(n), both(c, opposite(floor(0)))),
        0.1,
    )
    add("{few} {colour} blocks (stacked together*2|attached with each other)", _in_a_row, 1.5)
    add("at least {few} {colour} blocks stacked together", _in_a_row, 0.4)
    add("{few} blocks stacked together of the same color", together_alike, 0.3)
    add("{lone_or_a} {name} block and {lone_or_a} {name} block", _two_sorts, 1.2)
    add("{plain} {name} blocks and {lone_or_a} {name} block", _two_sorts, 0.8)
    add("{lone_or_a} {name} block and {plain} {name} blocks", _two_sorts, 1.2)
    grammar.add("plain", "{few}", exactly)
    add("only (1|one) {name} block and (1|one) {name} block", _one_of_each, 0.3)
    three = "a {name} block , a {name} block and"
    add(f"{three} {{lone_or_a}} {{name}} block", _three_sorts, 1)
    add(f"{three} {{plain}} {{name}} blocks", _three_sorts, 1)


def _in_a_row(number: int, colour: Things) -> Property:
    return together(colour, number)


def _two_sorts(quantity: Quantity, first: str, other: Quantity, second: str) -> Property:
    return sorts((quantity, first), (other, second))


def _one_of_each(first: str, second: str) -> Property:
    return both(total(exactly(2)), of_colours(first, second))


def _three_sorts(first: str, second: str, quantity: Quantity, third: str) -> Property:
    return sorts((at_least(1), first), (at_least(1), second), (quantity, third))


def _colours(grammar: Grammar) -> None:
    add = partial(grammar.add, "stock")
    add("only {colour} (blocks*3|color)", only, 1)
    add("only {name} and {name} (blocks*2|items)", of_colours, 2)
    add("{tall} of (all 3|all three|three*2|3) different colors", lambda tall: both(tall, colours(exactly(3))), 0.3)
    add("{tall} of (two|2|only two) different (color|colors)", lambda tall: both(tall, colours(exactly(2))), 0.3)
    add("(three the same blocks color|the same three blocks)", lambda: alike(3), 0.2)
    add("{few} blocks (of|with) (the same|same) color", alike, 0.7)
    add("at least {few} blocks of (the same|same) color", alike, 0.3)
    add(
        "blocks of (all 3|all three|three different|3 different|all 3 different) colors",
        lambda: colours(exactly(3)),
        1.2,
    )
    add("blocks of (two|2|only two|exactly two) different (color|colors)", lambda: colours(exactly(2)), 0.7)
    add("only (one|1) color", lambda: colours(exactly(1)), 0.5)
    add("blocks of (only one|the same|same) color", lambda: colours(exactly(1)), 0.3)
    add("no {colour} (block|blocks)", lambda colour: has(exactly(0), colour), 0.3)
