"""Sentences about towers and their blocks.

It knows nothing about boxes and scattered things.
"""

from __future__ import annotations

from functools import partial

from scripts.nlvr.grammar import Grammar
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
    none,
    only,
    opposite,
)
from scripts.nlvr.properties import between, colours, floor, holds, of_colours, on, sensible, together, total


def add_towers(grammar: Grammar) -> None:
    """Sentences ``towers`` about blocks, about towers which have something, and about towers of one colour."""
    _blocks(grammar)
    _ends(grammar)
    _which(grammar)
    _so_many(grammar)
    _of_one_colour(grammar)
    _of_a_height(grammar)


def _blocks(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: how many blocks")
    say("there (are*3|is) {many} {colour} blocks", count, 3)
    say("there are {any_many} {colour} blocks", count, 1.5)
    say("there is {single} {colour} block", count, 1)
    say = partial(grammar.add, "towers", kind="towers: block on block")
    say(
        "there is {single} {colour} (block*3|object) {over} (a*3|the) {colour} (block*3|object)",
        _upon,
        9,
    )
    say("there are {many} {colour} blocks {over} {colour} blocks", _upon, 0.5)
    say(
        "there is a {colour} block between (two|a|) {colour} blocks",
        lambda c, d: count(at_least(1), between(c, d)),
        0.6,
    )
    say(
        "there is a {colour} block that is between (the|) two blocks that (is|are) not {colour}",
        lambda c, d: count(at_least(1), between(c, opposite(d))),
        0.2,
    )
    joined = "(attached with each other|touching each other|attached to each other|stacked together)"
    say(f"there are {{few}} {{colour}} blocks {joined}", lambda n, c: boxes(at_least(1), together(c, n)), 0.7)
    say("there is a {colour} block that is (attach|attached) to a {colour} block", _attached, 0.3)


def _upon(quantity: Quantity, first: Things, up: bool, second: Things) -> Truth:
    return count(quantity, on(first, second, up))


def _attached(first: Things, second: Things) -> Truth:
    return count(at_least(1), either(on(first, second), on(first, second, up=False)))


def _ends(grammar: Grammar) -> None:
    """A block at an end of towers of some kind; each tower has one."""
    part = partial(grammar.add, "as_end")
    part("as the {end} of a tower", lambda end: (floor(end), total(at_least(1))), 3)
    part("as the {end} of a tower with {tall}", lambda end, tall: (floor(end), tall), 4)
    part(
        "as the {end} of a tower with only {name} and {name} blocks", lambda e, c, d: (floor(e), of_colours(c, d)), 0.2
    )
    say = partial(grammar.add, "towers", kind="towers: blocks at an end")
    say("there is {single} {colour} block {as_end}", _of_tower, 9)
    say("there are {many} {colour} blocks {as_end}", _of_tower, 5)
    so_many = partial(grammar.words, "so_many_towers")
    so_many({"at least two towers|two towers|at least 2 towers": at_least(2), "at least one tower": at_least(1)})
    so_many({"exactly one tower|only one tower": exactly(1), "exactly two towers": exactly(2)})
    say(
        "there is a {colour} block as the {end} of {so_many_towers}",
        lambda colour, end, quantity: boxes(quantity, holds(both(colour, floor(end)))),
        1.2,
    )
    say("the {end} of (a|one) tower is {colour}", lambda end, c: boxes(at_least(1), holds(both(c, floor(end)))), 0.3)
    each = "the {end} of the three towers are {two_and_one}"
    grammar.add("two_and_one", "two {colour} and one {colour} (blocks|)", lambda c, d: (c, d))
    say(each, lambda e, cd: _two_and_one(e, *cd), 0.4)


def _of_tower(quantity: Quantity, colour: Things, at: tuple[Things, Property]) -> Truth:
    where, towers = at
    return boxes(quantity, both(towers, holds(both(colour, where))))


def _two_and_one(end: int, first: Things, second: Things) -> Truth:
    return both(
        boxes(exactly(2), holds(both(first, floor(end)))),
        boxes(exactly(1), holds(both(second, floor(end)))),
    )


def _which(grammar: Grammar) -> None:
    """``which`` says what towers have: the longest list of ways, most of them of the parts of a tower."""
    grammar.words(
        "with",
        {"with*10|that has|which has*2|having*2|that contains|, which has": None},
    )
    add = partial(grammar.add, "which")
    add("{with} {ends}", lambda ends: ends, 6)
    add("{with} {stock}", lambda stock: stock, 6)
    add("{with} {stack}", lambda stack: stack, 4)
    add("{with} {tall}", lambda tall: tall, 3)
    add("with {tall} {and_with} {ends}", both, 2)
    add("with a {n_blocks} {and_with} {stack}", both, 0.1)
    add("with {tall} {and_with} {stack}", both, 1.5)
    add("with {tall} {and_with} {stock}", both, 0.8)
    grammar.words("and_with", {"with|having*2|and|that has|which has|, and it has": None})
    add("with {ends} and {ends}", both, 0.7)
    add("with {stack} and {ends}", both, 0.4)
    add("with {tall} {and_with} {ends} and {stack}", both, 0.2)
    add("with {tall} not having {ends}", lambda tall, ends: both(tall, lambda album: ~ends(album)), 0.3)
    add("with {tall} (where|and) the {end} (block|) is {colour}", _tall_end, 0.6)
    add("with {tall} where the base is {colour} and the top is {colour}", _tall_ends, 0.3)
    which_is = "(which is|which is of|that is|which is of the)"
    add(f"with (only|exactly) (one|1) (block|object) {which_is} {{colour}} (color|)", _single, 1)
    add("{with} (only one|a single) block of {colour} color", _single, 0.3)
    add("with (only|exactly) one block (that|which) is not {colour}", lambda c: has(exactly(1), opposite(c)), 0.2)
    add("with exactly {few} blocks which are of {colour} color", lambda n, c: both(total(exactly(n)), only(c)), 0.3)
    add("with {high} blocks of which {few} are {colour} (blocks|)", _of_which, 0.2)
    add(
        "(that|which|where|which is) the {nth} block (from the base|) is {colour}",
        lambda n, c: holds(both(c, floor(n))),
        1,
    )
    add("{with} two {colour} blocks as the base and second blocks", _two_lowest, 0.2)
    add("where all the blocks are of (the|) same color", lambda: colours(exactly(1)), 0.2)
    add("with {tall} where all the blocks are of (the|) same color", lambda tall: both(tall, colours(exactly(1))), 0.3)


def _tall_end(tall: Property, end: int, colour: Things) -> Property:
    return both(tall, holds(both(colour, floor(end))))


def _tall_ends(tall: Property, base: Things, top: Things) -> Property:
    return both(tall, holds(both(base, floor(0))), holds(both(top, floor(-1))))


def _single(colour: Things) -> Property:
    return both(total(exactly(1)), only(colour))


def _of_which(high: int, number: int, colour: Things) -> Property:
    return both(total(exactly(high)), has(exactly(number), colour))


def _two_lowest(colour: Things) -> Property:
    return both(holds(both(colour, floor(0))), holds(both(colour, floor(1))))


def _so_many(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: towers which")
    say("there is {single} tower {which}", boxes, 50)
    say("there (are*3|is) {two_of} {plural_tower} {which}", boxes, 15)
    say("there are {two_of} towers (that contain*2|which have|that have) {property}", boxes, 2)
    say("there are {two_of} towers with {tall} each", boxes, 0.3)
    say("there are {two_of} towers with {colour} blocks {place}", lambda q, c, p: boxes(q, holds(both(c, p))), 0.4)
    say("there are {two_of} towers with {colour} blocks as the {nth} (block|level)", _levels, 0.2)
    say("there are {two_of} towers (that has|that have|with) {colour} block", lambda q, c: boxes(q, holds(c)), 0.2)
    say("there are {two_of} towers with {property} , and one of them has {property}", _one_of_them, 0.3)
    say("there are {two_of} towers of {high} blocks each", lambda q, n: boxes(q, total(exactly(n))), 0.2)
    grammar.words("plural_tower", {"towers*5|tower": None})
    say("(one|1) tower (has*2|contains|with) {property}", lambda p: boxes(exactly(1), p), 2)
    one_of = "(one of the*2|at least one of the) (tower|towers|three towers)"
    say(f"{one_of} (has|with|contains) {{property}}", lambda p: boxes(at_least(1), p), 1)
    say("one of the tower with {tall} has {property}", lambda t, p: boxes(at_least(1), both(t, p)), 0.7)
    say("of the three towers one has {property}", lambda p: boxes(exactly(1), p), 0.2)
    say("(two|2) of the (three|3|) towers (has|have) {property}", lambda p: boxes(exactly(2), p), 1)
    say("at least two of the towers (has|have|ha) {property}", lambda p: boxes(at_least(2), p), 0.4)
    say("at least two of the towers (have|ha) {colour} {ends_of}", _two_ends, 0.3)
    grammar.words("ends_of", {"bases": 0, "tops": -1})
    say("the tower with {tall} has {property}", lambda t, p: boxes(at_least(1), both(t, p)), 4)
    say("{colour} block at the {end}", lambda c, end: boxes(at_least(1), holds(both(c, floor(end)))), 0.1)
    say("none of the towers (has|have) {property}", lambda p: boxes(none(), p), 0.4)


def _levels(quantity: Quantity, colour: Things, nth: int) -> Truth:
    return boxes(quantity, holds(both(colour, floor(nth))))


def _one_of_them(quantity: Quantity, what: Property, more: Property) -> Truth:
    return both(boxes(quantity, what), boxes(at_least(1), both(what, more)))


def _two_ends(colour: Things, end: int) -> Truth:
    return boxes(at_least(2), holds(both(colour, floor(end))))


def _of_one_colour(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: towers of one colour")
    say("there is {single} {colour} tower", lambda q, c: boxes(q, only(c)), 3)
    say("there is {single} {colour} tower {with} {tall}", lambda q, c, tall: boxes(q, both(only(c), tall)), 2.2)
    say("there are {two_of} {colour} towers", lambda q, c: boxes(q, only(c)), 0.3)
    say("there are {two_of} {colour} towers {with} {tall}", lambda q, c, tall: boxes(q, both(only(c), tall)), 0.3)
    say("one of the (three towers|towers) is {colour}", lambda c: boxes(at_least(1), only(c)), 0.5)
    say("there is {single} tower which has only {colour} color blocks", lambda q, c: boxes(q, only(c)), 0.3)
    say(
        "there is a tower with {tall} and the color is {colour}",
        lambda tall, c: boxes(at_least(1), both(tall, only(c))),
        0.3,
    )


def _of_a_height(grammar: Grammar) -> None:
    grammar.add("n_blocks", "{high} (blocks*2|block)", lambda number: total(exactly(number)))
    say = partial(grammar.add, "towers", kind="towers: the tower of a height")
    say("the {end} of (a*2|the) {n_blocks} tower is {colour}", _end_of, 1.5)
    say("there is a {n_blocks} tower (that|where|which) the {end} is {colour}", lambda t, e, c: _end_of(e, t, c), 0.7)
    say("there (is a*2|is|is one) {n_blocks} tower", lambda tall: boxes(at_least(1), tall), 0.6)
    say(
        "there is a {n_blocks} tower (that has|which has|with) {property}",
        lambda t, p: boxes(at_least(1), both(t, p)),
        1.2,
    )
    one = "(that has only one color|and only one color|that has a single color|with only one color)"
    say(f"there is a {{n_blocks}} tower {one}", lambda tall: boxes(at_least(1), both(tall, colours(exactly(1)))), 0.7)
    two = "and the color is {name} and {name}"
    say(f"there is (a|) {{n_blocks}} tower {two}", lambda t, c, d: boxes(at_least(1), both(t, of_colours(c, d))), 0.3)
    where = "(from the base of a tower|of a tower from the base|of a tower)"
    say(f"the {{nth}} block {where} is {{colour}}", lambda n, c: boxes(at_least(1), holds(both(c, floor(n)))), 0.9)
    say(
        "the {end} of the two {n_blocks} (tower|towers) (are|is) {colour}",
        lambda end, tall, c: boxes(at_least(2), both(tall, holds(both(c, floor(end))))),
        0.4,
    )
    say("the first {few} color of a tower from the base are {first_colours}", lambda n, c: _from_base(n, c), 0.2)
    grammar.add("first_colours", "{colour} and {colour}", lambda *colours_: colours_)
    grammar.add("first_colours", "{colour} , {colour} and {colour}", lambda *colours_: colours_)


def _end_of(end: int, tall: Property, colour: Things) -> Truth:
    return boxes(at_least(1), both(tall, holds(both(colour, floor(end)))))


def _from_base(number: int, named: tuple[Things, ...]) -> Truth:
    sensible(number == len(named))
    return boxes(at_least(1), both(*(holds(both(colour, floor(up))) for up, colour in enumerate(named))))
