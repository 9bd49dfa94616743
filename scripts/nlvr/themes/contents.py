"""The words for what is in a box: lists of things, so many of a sort, so many in all, of which colours.

It knows nothing about whole sentences. "A box with a blue circle" may hold more of them; "a box with 1" may not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.grammar import Grammar, Meaning
from scripts.nlvr.meaning import (
    Property,
    Quantity,
    Things,
    anything,
    at_least,
    at_most,
    both,
    exactly,
    has,
    none,
    only,
    opposite,
)
from scripts.nlvr.properties import (
    alike,
    coloured,
    colours,
    holds,
    of_colours,
    one_shape,
    sensible,
    sized_differently,
    sorts,
    total,
)

ALL_THREE = "(all 3*2|all three|3|three)"


def add_contents(grammar: Grammar, head: str, noun: str) -> None:
    """Part ``<head>_contents``, where ``noun`` and its plural name things; ``<head>_list`` is of several sorts."""
    _totals(grammar, head)
    _lists(grammar, head, noun)
    _stock(grammar, head, noun)
    _colours(grammar, head)
    _of_which(grammar, head, noun)


def _totals(grammar: Grammar, head: str) -> None:
    """How many things there are in all, as a part of longer contents."""
    add = partial(grammar.add, f"{head}_items")
    add("{more} items", lambda number: total(exactly(number)), 5)
    add("exactly {more} (items|objects)", lambda number: total(exactly(number)), 0.7)
    add("only {more} items", lambda number: total(exactly(number)), 0.7)
    add("{more} items at most", lambda number: total(at_most(number)), 0.5)
    add("at least {more} items", lambda number: total(at_least(number)), 0.4)
    add("(multiple|many) items", lambda: total(at_least(3)), 0.4)


def _lists(grammar: Grammar, head: str, noun: str) -> None:
    entry = partial(grammar.add, f"{head}_entry")
    entry(f"a {{{noun}}}", holds, 6)
    entry(f"(1|one) {{{noun}}}", lambda t: has(exactly(1), t), 1.5)
    entry(f"only (1|one) {{{noun}}}", lambda t: has(exactly(1), t), 0.4)
    entry(f"exactly (1|one) {{{noun}}}", lambda t: has(exactly(1), t), 0.7)
    entry(f"at least (1|one|a) {{{noun}}}", holds, 2)
    entry(f"{{few}} {{{noun}s}}", lambda n, t: has(exactly(n), t), 3)
    entry(f"exactly {{few}} {{{noun}s}}", lambda n, t: has(exactly(n), t), 0.6)
    entry(f"at least {{few}} {{{noun}s}}", lambda n, t: has(at_least(n), t), 1.5)
    entry(f"a lot of {{{noun}s}}", lambda t: has(at_least(3), t), 0.2)
    one = f"{{{head}_entry}}"
    add = partial(grammar.add, f"{head}_list")
    add(f"{one} and {one}", both, 7)
    add(f"{one} , {one} and {one}", both, 1.7)
    add(f"{one} and {one} and {one}", both, 0.2)
    add(f"{{{noun}}} and {{{noun}}}", lambda s, t: both(holds(s), holds(t)), 0.3)
    add("(1|one) {name} and (1|one) {name} (item|object)", lambda c, d: sorts((exactly(1), c), (exactly(1), d)), 0.4)
    add(
        "{few} {name} and {few} {name} (items|objects)", lambda n, c, m, d: sorts((exactly(n), c), (exactly(m), d)), 0.4
    )
    add("at least {few} {name} and (1|one) {name} item", lambda n, c, d: sorts((at_least(n), c), (exactly(1), d)), 0.2)
    add("{few} {name} , (1|one) {name} and (1|one) {name} objects", _three_counts, 0.2)


def _three_counts(number: int, first: str, second: str, third: str) -> Property:
    return sorts((exactly(number), first), (exactly(1), second), (exactly(1), third))


def _stock(grammar: Grammar, head: str, noun: str) -> None:
    add = partial(grammar.add, f"{head}_contents")
    inside = "(in it|*4)"
    add(f"{{lone}} {{{noun}}} {inside}", has, 2.5)
    add(f"a {{{noun}}} {inside}", holds, 0.7)
    add(f"at least (1|one) {{{noun}}}", holds, 1.5)
    add(f"{{many}} {{{noun}s}}", has, 5)
    add(f"{{{noun}s}}", holds, 0.6)
    add(f"a lot of {{{noun}s}}", lambda t: has(at_least(3), t), 0.2)
    add(f"{{{head}_list}} {inside}", lambda listed: listed, 9 if head == "scattered" else 3)
    add(f"a {{{noun}}} and no {{{noun}s}}", lambda s, t: both(holds(s), has(none(), t)), 0.4)
    add(f"no {{{noun}s}}", lambda t: has(none(), t), 0.3)
    add(f"{{any_many}} (items*3|objects|{'objects' if head == 'scattered' else 'squares'}) {inside}", total, 3)
    add(f"{{lone}} (item*2|object) {inside}", total, 2)
    add("(a single|single) item", lambda: total(exactly(1)), 0.2)
    add("many items", lambda: total(at_least(5)), 0.3)
    add(f"only {{{noun}s}}", _only_such, 0.8)
    add("only {name} and {name} items (in it|*5)", of_colours, 3)
    if head == "scattered":
        add("only {shapes} and {shapes}", _two_sorts_only, 0.3)
        add("(only|only has) {shape} and {shape}", _two_sorts_only, 0.1)
        add(f"a {{colour}} {{shape}} and (a|) {{shape}} {inside}", _of_one_colour, 0.4)
        add("items of {few} different shapes", lambda n: lambda album: album.shapes.sum(-1) == n, 0.2)
        add("two items of different size", lambda: both(total(exactly(2)), sized_differently), 0.1)
        add("{few} {colour} items of (the|) same shape", lambda n, c: one_shape(n, c), 0.3)


def _of_one_colour(colour: Things, first: Things, second: Things) -> Property:
    return both(holds(both(colour, first)), holds(both(colour, second)))


def _two_sorts_only(first: Things, second: Things) -> Property:
    sensible(first is not second)
    return only(first, second)


def _only_such(things: Things) -> Property:
    sensible(things is not anything)
    return both(holds(things), has(none(), opposite(things)))


def _colours(grammar: Grammar, head: str) -> None:
    add = partial(grammar.add, f"{head}_contents")
    shades = partial(grammar.add, f"{head}_colours")
    items = f"{{{head}_items}}"
    shades(f"items of {ALL_THREE} different (colors*2|color)", lambda: colours(exactly(3)), 1.2)
    shades("items of (2|two|only 2|exactly 2) different (colors*2|color)", lambda: colours(exactly(2)), 0.8)
    shades("(all 3|all three) (colors|different colors)", lambda: colours(exactly(3)), 0.3)
    shades("(objects|items) of (two|2) (color|colors)", lambda: colours(exactly(2)), 0.2)
    add(f"{{{head}_colours}}", lambda shade: shade, 1.5)
    add(f"{{{head}_colours}} and {{{head}_entry}}", both, 0.8)
    add("items of only {name} and {name} color", of_colours, 1)
    add("items of (only one|only 1|the same|same) color", lambda: colours(exactly(1)), 1)
    add(f"{items} (of*2|with) {ALL_THREE} different (colors*2|color)", _coloured_in(3), 1.5)
    add(f"{items} of (2|two|only 2) different (colors*2|color)", _coloured_in(2), 1)
    add(f"{items} of (the same|same|only one|only 1) color", _coloured_in(1), 0.5)
    add(f"{items} (of|of only*2|with only) {{name}} and {{name}} color", _of_pair, 1.6)
    add(f"{items} of different (color|colors)", _all_different, 0.3)
    add(f"{items} but not all (3|three) different colors", lambda n: both(n, lambda a: a.colours.sum(-1) < 3), 0.3)
    add("only {few} {name} and {name} items", lambda n, c, d: both(total(exactly(n)), of_colours(c, d)), 0.6)
    add(f"{items} and it has (three|3) colors", _coloured_in(3), 0.1)
    add("three kinds of colors", lambda: colours(exactly(3)), 0.1)


def _coloured_in(number: int) -> Meaning:
    return lambda items: both(items, colours(exactly(number)))


def _of_pair(items: Property, first: str, second: str) -> Property:
    return both(items, of_colours(first, second))


def _all_different(items: Property) -> Property:
    return both(items, lambda album: album.height == album.colours.sum(-1))


def _of_which(grammar: Grammar, head: str, noun: str) -> None:
    add = partial(grammar.add, f"{head}_contents")
    items = f"{{{head}_items}}"
    add(f"{items} of which (1|one) is {{colour}}", lambda n, c: both(n, has(exactly(1), c)), 0.7)
    add(f"{items} of which (1|one) is a {{{noun}}}", lambda n, t: both(n, has(exactly(1), t)), 0.7)
    add(f"{items} of which {{few}} are {{colour}}", lambda n, m, c: both(n, has(exactly(m), c)), 1)
    add(f"{items} of which at least {{few}} are {{colour}}", lambda n, m, c: both(n, has(at_least(m), c)), 0.3)
    add(f"{items} and (the*2|) (one|1) is {{colour}}", lambda n, c: both(n, has(exactly(1), c)), 0.2)
    add(
        f"{items} and (the*2|) {{few}} (items|*2) are {{colour}} (in color|*3)",
        lambda n, m, c: both(n, has(exactly(m), c)),
        0.8,
    )
    add(f"{items} and there is {{{head}_list}}", both, 0.2)
    add(f"{items} including {{{noun}s}}", lambda n, t: both(n, holds(t)), 0.2)
    rate = 1 if head == "scattered" else 0.1
    for amount, quantity in (("exactly {more}", exactly), ("only {more}", exactly), ("less than {more}", _fewer)):
        pattern = f"{amount} objects (one of which|of which one) is a {{{noun}}}"
        add(pattern, _with_one(quantity), 0.4 * rate)
    add("exactly {more} objects (which are|that are) {colour}", lambda n, c: has(exactly(n), c), 0.7 * rate)
    add("(exactly|only) one object (which|that) is {colour}", lambda c: has(exactly(1), c), 0.7 * rate)
    add(f"(exactly|only) one object which is a {{{noun}}}", lambda t: has(exactly(1), t), 0.2 * rate)
    add("objects of which only one object is {colour}", lambda c: has(exactly(1), c), 0.3 * rate)
    add("(1|one|exactly one) item (that is|which is) {colour}", lambda c: has(exactly(1), c), 0.4)
    add("(only one|only 1|just one) item (that is|which is) {colour}", lambda c: both(total(exactly(1)), holds(c)), 0.4)
    add("{lone} item (that is|which is) not {colour}", lambda q, c: has(q, opposite(c)), 0.5)
    add("{many} items (that are|which are) not {colour}", lambda q, c: has(q, opposite(c)), 0.3)
    add("{few} items of (the|) same color", alike, 0.3)
    add("exactly {few} items of (the|) same color", alike, 0.1)
    add(f"{{lone}} item and it is (a|) {{{noun}}}", lambda q, t: both(total(q), holds(t)), 0.3)
    add("{lone} item and it is {colour}", lambda q, c: both(total(q), holds(c)), 0.4)
    add("only one {name} item and at least {few} items of another color", _another, 0.2)
    add(f"{{few}} {{{noun}s}} and {{few}} other items", _and_others, 0.3)
    add("only {name} and {name} items of which one is a {colour} (square|item)", _pair_with_one, 0.2)
    add("two items that are not the same", lambda: both(total(exactly(2)), _not_same), 0.1)
    if head == "scattered":
        add("only two items and they are both {shapes}", lambda s: both(total(exactly(2)), only(s)), 0.1)
        add("two {colour} items which are {shape} and {shape}", _two_shapes, 0.1)


def _fewer(number: int) -> Quantity:
    return at_most(number - 1)


def _with_one(quantity: Callable[[int], Quantity]) -> Meaning:
    return lambda number, things: both(total(quantity(number)), holds(things))


def _not_same(album: Album) -> Mask:
    mixed: Mask = (album.colours.sum(-1) > 1) | (album.shapes.sum(-1) > 1)
    return mixed


def _another(name: str, number: int) -> Property:
    return both(has(exactly(1), coloured(name)), has(at_least(number), opposite(coloured(name))))


def _and_others(number: int, things: Things, others: int) -> Property:
    return both(has(exactly(number), things), has(exactly(others), opposite(things)))


def _pair_with_one(first: str, second: str, colour: Things) -> Property:
    return both(of_colours(first, second), has(exactly(1), colour))


def _two_shapes(colour: Things, first: Things, second: Things) -> Property:
    return both(has(exactly(2), colour), has(exactly(1), both(colour, first)), has(exactly(1), both(colour, second)))
