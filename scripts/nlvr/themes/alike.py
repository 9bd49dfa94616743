"""Sentences about all towers together: every tower, towers that share a colour or a height, bases of so many colours.

It knows nothing about single blocks.
"""

from __future__ import annotations

from functools import partial

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Property, Things, Truth, at_least, both, boxes, count, either, exactly, only, opposite
from scripts.nlvr.properties import (
    at_heights,
    colour_at,
    coloured,
    different_heights,
    floor,
    height,
    holds,
    of_colours,
    sensible,
    shared,
    total,
)


def add_alike(grammar: Grammar) -> None:
    """Sentences ``towers`` about every tower and about towers alike."""
    _every(grammar)
    _alike(grammar)
    _compared(grammar)


def _every(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: every tower")
    all_towers = "(all the|all|all 3|all three) towers"
    say(f"{all_towers} (have*2|has|contain) {{property}}", _all_have, 2)
    say("(each|every) tower (has|contains) {property}", _all_have, 1)
    say("there is at least (1|one) {colour} block in (each|every) tower", lambda c: _all_have(holds(c)), 0.6)
    say("there is (a|1) {colour} block in (each|every) tower", lambda c: _all_have(holds(c)), 0.3)
    say("there are {colour} blocks in (each|every) tower", lambda c: _all_have(holds(c)), 0.2)
    say(f"{all_towers} (have|are of) {{high}} blocks", lambda n: _all_have(total(exactly(n))), 0.1)
    say("the bases of the towers are {name} and {name} only", _bases, 0.3)
    say("the {end} of (all the|all|the three) towers (are|is) {colour}", _all_at, 0.3)


def _all_have(what: Property) -> Truth:
    return boxes(exactly(3), what)


def _all_at(end: int, colour: Things) -> Truth:
    return boxes(exactly(3), holds(both(colour, floor(end))))


def _bases(first: str, second: str) -> Truth:
    sensible(first != second)
    counted = (boxes(at_least(1), holds(both(coloured(name), floor(0)))) for name in (first, second))
    return both(*counted, _all_have(holds(both(floor(0), lambda a: a.colour(first) | a.colour(second)))))


def _alike(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: towers alike")
    which = "(which has|that has|with|that have)"
    two = "(only two*2|exactly two|two*2|2)"
    say(
        f"there are {two} towers {which} (the|) same {{end}} color", lambda end: shared(exactly(2), colour_at(end)), 1.2
    )
    say(
        f"there are {two} towers with (block|blocks) of (the|) same color at (the|) {{end}}",
        lambda end: shared(exactly(2), colour_at(end)),
        0.4,
    )
    say("(two|2) of the (three|) towers has the same {end} color", lambda end: shared(exactly(2), colour_at(end)), 0.4)
    say(
        "two of the (three|) towers has the same {end} color that is not {colour}",
        lambda end, c: both(
            shared(exactly(2), colour_at(end)), boxes(at_least(2), holds(both(opposite(c), floor(end))))
        ),
        0.2,
    )
    say(
        "(all|all 3|all three|all the) towers have the same {end} color",
        lambda end: shared(exactly(3), colour_at(end)),
        0.3,
    )
    say("all (the|3|) towers have different {end} color", lambda end: shared(exactly(1), colour_at(end)), 0.2)
    say("there are at least (two|2) towers with the same height", lambda: shared(at_least(2), height), 0.5)
    say(f"there are {two} towers {which} the same height", lambda: shared(exactly(2), height), 0.5)
    say("all (the|3|three|) towers have the same height", lambda: shared(exactly(3), height), 0.2)
    say("all (the|3|three|) towers have different height", lambda: shared(exactly(1), height), 0.2)
    say("there are at least two towers with the same color", _same_single_colour, 0.2)
    say("there are (two|2) towers which has {few} and {few} blocks each", at_heights, 0.3)
    say("there are (two|2) (tower|towers) with different height and the {end} is {colour}", _differ, 0.6)
    say(
        "there are two towers that has different base color but the same color in the second block",
        lambda: both(shared(at_least(2), colour_at(1)), lambda a: ~shared(exactly(3), colour_at(0))(a)),
        0.1,
    )


def _same_single_colour() -> Truth:
    return lambda album: (
        ((album.colours[:, :, None] == album.colours[:, None]).all(-1) & (album.colours.sum(-1) >= 1)[:, :, None])
        .sum(-1)
        .max(1)
        >= 2
    )


def _differ(end: int, colour: Things) -> Truth:
    return different_heights(holds(both(colour, floor(end))))


def _compared(grammar: Grammar) -> None:
    """Rarely said of NLVR's pictures, but said."""
    say = partial(grammar.add, "towers", kind="towers: colours compared")
    say("there are more {colour} blocks than {colour} blocks", _more, 0.2)
    say("there (are|is) (the same number of|as many) {colour} (blocks|) and {colour} blocks", _as_many, 0.1)
    say(
        "there is only {name} and {name} blocks",
        lambda c, d: both(count(at_least(1), coloured(c)), _all_have(_no_other(c, d))),
        0.05,
    )


def _no_other(first: str, second: str) -> Property:
    """Towers with blocks of one or both of these colours and no other."""
    return either(of_colours(first, second), only(coloured(first)), only(coloured(second)))


def _more(first: Things, second: Things) -> Truth:
    return lambda album: first(album).sum((1, 2)) > second(album).sum((1, 2))


def _as_many(first: Things, second: Things) -> Truth:
    return lambda album: first(album).sum((1, 2)) == second(album).sum((1, 2))
