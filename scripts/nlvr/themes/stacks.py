"""Sentences about the items of boxes in which towers stand: on top, right on one another, touching the wall.

Of a tower only the base touches a wall, the lower one; it knows nothing about the word tower.
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
    at_most,
    both,
    boxes,
    count,
    exactly,
    has,
    opposite,
)
from scripts.nlvr.properties import (
    at_wall,
    beside,
    between_alike,
    coloured,
    colours_of,
    floor,
    holds,
    inner,
    on,
    sensible,
    together,
    total,
)

WALL = "(touching the wall*3|touching the side|touching the base|touching the bottom)"
BASE, TOP = floor(0), floor(-1)


def add_stacks(grammar: Grammar) -> None:
    """Sentences ``towers`` about items; part ``layered``, what is where in the tower of a box."""
    _items(grammar)
    _layers(grammar)
    _long_layers(grammar)
    _boxes(grammar)


def _items(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: items at walls")
    say(f"there is {{single}} {{item}} {WALL}", lambda q, c: count(q, both(c, at_wall())), 1.5)
    say(f"there are {{many}} {{items}} {WALL}", lambda q, c: count(q, both(c, at_wall())), 1)
    say(f"(the|) {{item}} is {WALL}", lambda c: count(at_least(1), both(c, BASE)), 0.3)
    say(f"(the|) {{item}} is not {WALL}", lambda c: count(at_least(1), both(c, opposite(BASE))), 0.2)
    say(f"(only|) {{few}} {{items}} are {WALL}", lambda n, c: count(exactly(n), both(c, BASE)), 0.3)
    say(f"only {{few}} {{colour}} and one {{colour}} item are {WALL}", _bases, 0.3)
    say(f"(all 3|all three|the items of all 3) (different|) colors are {WALL}", lambda: colours_of(3, BASE), 0.4)
    say(f"there (is|are) only (one|1) color {WALL}", lambda: colours_of(1, BASE), 0.3)
    say("there is {single} {item} (on top|on the top)", lambda q, c: count(q, both(c, TOP)), 0.7)
    say("the {item} is on top", lambda c: count(at_least(1), both(c, TOP)), 0.2)
    say("there is a {item} on top of other items", lambda c: count(at_least(1), both(c, TOP, opposite(BASE))), 0.3)
    say(f"there is a {{item}} {WALL} with a {{item}} right on top of it", _base_and_next, 0.4)
    say("there are {few} {items} touching each other", lambda n, c: boxes(at_least(1), together(c, n)), 0.4)


def _bases(number: int, first: Things, second: Things) -> Truth:
    return both(count(exactly(number), both(first, BASE)), count(exactly(1), both(second, BASE)))


def _base_and_next(base: Things, above: Things) -> Truth:
    return count(at_least(1), on(above, both(base, BASE)))


def _layers(grammar: Grammar) -> None:
    add = partial(grammar.add, "layered")
    add("a {item} (on top*2|on the top)", lambda c: holds(both(c, TOP)), 3)
    add("(a*2|) {colour} one on top", lambda c: holds(both(c, TOP)), 1.5)
    add("the {colour} one (is*2|) on top", lambda c: holds(both(c, TOP)), 0.7)
    add(f"(a*3|the) {{item}} {WALL}", lambda c: holds(both(c, BASE)), 2)
    add(f"a {{colour}} one {WALL}", lambda c: holds(both(c, BASE)), 1)
    it = "(on top of it|right on top of it|on top)"
    add(f"a {{item}} {WALL} (and|with) a {{item}} {it}", _on_base, 2)
    add(f"a {{item}} {WALL} (and|with) a {{colour}} one {it}", _on_base, 0.7)
    add("a {item} on top and a {item} right beneath it", _under_top, 0.7)
    add("a {item} (beneath|right beneath|below) the item on top", lambda c: holds(both(c, floor(-2))), 0.4)
    add(f"(a|) {{item}} (directly|right) on top of the item {WALL}", lambda c: holds(both(c, floor(1))), 0.4)
    add("a {item} between (two|2) items of (the|) same color", between_alike, 0.6)
    add("{few} {items} in the middle", lambda n, c: has(exactly(n), both(c, inner)), 0.3)
    add("a {item} in the middle", lambda c: holds(both(c, inner)), 0.3)
    add(f"{{few}} {{items}} not {WALL}", lambda n, c: has(exactly(n), both(c, opposite(BASE))), 0.4)
    add("{few} {items} (touching each other|on top of each other)", lambda n, c: together(c, n), 0.4)
    add("{few} {items} not touching each other", _scattered, 0.2)
    add("{few} {items} on top", _topmost, 0.3)


def _on_base(base: Things, above: Things) -> Property:
    return holds(on(above, both(base, BASE)))


def _under_top(top: Things, under: Things) -> Property:
    return holds(on(both(top, TOP), under))


def _scattered(number: int, colour: Things) -> Property:
    return lambda album: has(exactly(number), colour)(album) & ~together(colour, 2)(album)


def _topmost(number: int, colour: Things) -> Property:
    return both(*(holds(both(colour, floor(-down))) for down in range(1, number + 1)))


def _long_layers(grammar: Grammar) -> None:
    add = partial(grammar.add, "layered")
    add("a {item} between (two|2) items of the same color and no item on top of that", _sandwich, 0.3)
    add(f"a {{colour}} (item|square) {WALL} and another one on top of it all", _both_ends, 0.3)
    add(f"a {{item}} {WALL} and {{few}} items at most on top of it", _under_few, 0.3)
    add(f"a {{item}} {WALL} with a {{name}} and {{name}} item on top of it", _under_two, 0.3)
    add("a {colour} item and {few} {items} touching each other", _beside_run, 0.2)
    add(
        f"a {{item}} {WALL} and a {{item}} on top of it all",
        lambda c, d: both(holds(both(c, BASE)), holds(both(d, TOP))),
        0.3,
    )
    say = partial(grammar.add, "towers", kind="towers: items in boxes")
    say("there is a box where a {name} and {name} (square|item) are touching each other", _touching_pair, 0.4)
    say(
        f"there is a box where a {{item}} is {WALL} with (another|a) {{item}} on top of it",
        lambda c, d: boxes(at_least(1), _on_base(c, d)),
        0.3,
    )


def _sandwich(colour: Things) -> Property:
    return between_alike(colour, topmost=True)


def _both_ends(colour: Things) -> Property:
    return both(total(at_least(2)), holds(both(colour, BASE)), holds(both(colour, TOP)))


def _under_few(base: Things, number: int) -> Property:
    return both(holds(both(base, BASE)), total(at_most(number + 1)))


def _under_two(base: Things, first: str, second: str) -> Property:
    sensible(first != second)
    one, other = holds(both(coloured(first), opposite(BASE))), holds(both(coloured(second), opposite(BASE)))
    return both(holds(both(base, BASE)), one, other)


def _beside_run(colour: Things, number: int, others: Things) -> Property:
    return both(holds(colour), together(others, number))


def _touching_pair(first: str, second: str) -> Truth:
    sensible(first != second)
    return boxes(at_least(1), holds(beside(coloured(first), coloured(second))))


def _boxes(grammar: Grammar) -> None:
    say = partial(grammar.add, "towers", kind="towers: items in boxes")
    say("there is {single} box with {layered}", boxes, 3.5)
    say("there are {two_of} boxes (with*2|that have) {layered}", boxes, 1.2)
    say("there is {single} box {with_box} {towers_items} and {layered}", _with_items, 3.5)
    say(
        "there is a {box} with {towers_colours} and {layered}",
        lambda shade, what: boxes(at_least(1), both(shade, what)),
        1,
    )
    say("(each|every) box (has|contains) {layered}", lambda what: boxes(exactly(3), what), 0.2)


def _with_items(quantity: Quantity, items: Property, what: Property) -> Truth:
    return boxes(quantity, both(items, what))
