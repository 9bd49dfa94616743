"""Sentences about what scattered things touch: walls, corners, one another.

It knows nothing about towers. "Closely" and "nearly" allow some pixels between a thing and the wall, "touching" none.
"""

from __future__ import annotations

from functools import partial

from scripts.nlvr.album import CLOSELY
from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Quantity, Things, Truth, at_least, both, boxes, count, exactly, has, none, opposite
from scripts.nlvr.properties import all_are, at_wall, beside, colours_of, holds, in_corner

EDGES = (
    "the edge*5|any edge*4|an edge|the wall*2"
    "|the side|the side of the box|a wall|a wall of a box|a edge|the edge of the square|the wall with its side"
)
BASES = "the base*2|the bottom base|the bottom|the bottom of a box*2"
CORNERS = "a corner|a corner of a box|the corner*2|a box corner|the corner of the box"

CORNER = 1  # pixels to both walls that annotators still call touching a corner


def add_walls(grammar: Grammar) -> None:
    """Sentences ``scattered``; part ``at_edge``, things by what they touch or do not."""
    _edges(grammar)
    _counted(grammar)
    _said_of_all(grammar)
    _one_another(grammar)
    _in_boxes(grammar)


def _edges(grammar: Grammar) -> None:
    for name, gap in (("edge", 0), ("close_edge", CLOSELY)):
        words = partial(grammar.words, name)
        words({EDGES: at_wall(gap=gap)}, 8 if name == "edge" else 1.5)
        words({BASES: at_wall("bottom", gap)}, 4)
        words({"right wall of a box|the right wall|right wall": at_wall("right", gap)}, 1.2)
        words({"the roof of a box|the top|the top of a box|the roof": at_wall("top", gap)}, 0.7)
        words({"left wall of a box|the left wall": at_wall("left", gap)}, 0.3)
        words({CORNERS: in_corner(max(gap, CORNER))}, 1.7)
        for up in ("bottom", "top"):
            for side in ("right", "left"):
                there = both(at_wall(up, max(gap, CORNER)), at_wall(side, max(gap, CORNER)))
                words({f"the {up} {side} corner|{up}-{side} corner of a box": there}, 0.3 if up == "bottom" else 0.05)
        for side in ("right", "left"):
            words(
                {
                    f"the {side} corner|the {side} corner of the box": both(
                        in_corner(max(gap, CORNER)), at_wall(side, max(gap, CORNER))
                    )
                },
                0.1,
            )
    add = partial(grammar.add, "at_edge")
    add("{touching}", lambda where: where, 8.4)
    add("not touching {edge}", opposite, 3)
    add = partial(grammar.add, "touching")
    add("touching {edge}", lambda where: where, 4)
    add(
        "(closely touching*6|nearly touching) {close_edge}",
        lambda where: where,
        4,
    )
    add("(in|at) (the|a) corner (of the box|)", lambda: in_corner(CORNER), 0.2)
    add("attached to {edge}", lambda where: where, 0.2)


def _counted(grammar: Grammar) -> None:
    say = partial(grammar.add, "scattered", kind="scattered: things at walls")
    say("there is {single} {any_thing} {at_edge}", _so_many, 40)
    say("there (are*3|is) {many} {any_things} {at_edge}", _so_many, 14)
    say("there is {single} {any_thing} that is {at_edge}", _so_many, 0.4)
    say("there are {many} {any_things} that are {at_edge}", _so_many, 0.3)
    say("there are {any_many} (items|objects) {at_edge}", lambda q, edge: count(q, edge), 1)
    say("(exactly|) {few} {any_things} are {at_edge}", lambda n, t, e: count(exactly(n), both(t, e)), 1)
    say("at least one {any_thing} is {at_edge}", lambda t, e: count(at_least(1), both(t, e)), 0.5)
    say("at least {few} {any_things} are {at_edge}", lambda n, t, e: count(at_least(n), both(t, e)), 0.2)
    not_of = "(that is|which is) not {colour}"
    say(
        f"there is {{single}} {{any_thing}} {{at_edge}} {not_of}",
        lambda q, t, e, c: count(q, both(t, e, opposite(c))),
        0.5,
    )
    say(
        "there are {few} {any_things} {at_edge} and {some} {any_thing} {at_edge}",
        lambda n, s, e, q, t, f: both(count(exactly(n), both(s, e)), count(q, both(t, f))),
        0.4,
    )
    say(
        "there is {single} {any_thing} {at_edge} and {single} {any_thing} {at_edge}",
        lambda q, s, e, r, t, f: both(count(q, both(s, e)), count(r, both(t, f))),
        0.2,
    )


def _so_many(quantity: Quantity, things: Things, edge: Things) -> Truth:
    return count(quantity, both(things, edge))


def _said_of_all(grammar: Grammar) -> None:
    say = partial(grammar.add, "scattered", kind="scattered: all or none at walls")
    say("none of the {any_things} (are|is) {touching}", lambda t, e: count(none(), both(t, e)), 2.5)
    say("no {any_thing} is {touching}", lambda t, e: count(none(), both(t, e)), 0.2)
    say("{things} are {at_edge}", lambda t, e: count(at_least(1), both(t, e)), 0.5)
    say("(the*2|) {thing} is {at_edge}", lambda t, e: count(at_least(1), both(t, e)), 0.7)
    say("all (the|) {things} are {at_edge}", all_are, 0.6)
    say("(all 3|all three) (different|) colors are touching {edge}", lambda e: colours_of(3, e), 0.3)
    say("there is only one color touching {edge}", lambda e: colours_of(1, e), 0.2)


def _one_another(grammar: Grammar) -> None:
    say = partial(grammar.add, "scattered", kind="scattered: things touching")
    near = "(touching|closely touching|near|next to)"
    say(f"there is {{single}} {{thing}} {near} a {{thing}}", lambda q, s, t: count(q, beside(s, t)), 0.8)
    say("there are (two|2) {things} touching each other", lambda t: count(at_least(2), beside(t, t)), 0.5)
    say(f"there is {{single}} {{box}} {{with_box}} a {{thing}} {near} a {{thing}}", _box_beside, 0.4)
    say("there is {single} {box} {with_box} a {thing} and a {thing} touching each other", _box_beside, 0.3)


def _box_beside(quantity: Quantity, first: Things, second: Things) -> Truth:
    return boxes(quantity, holds(beside(first, second)))


def _in_boxes(grammar: Grammar) -> None:
    add = partial(grammar.add, "wall_contents")
    add("a {any_thing} {at_edge}", lambda t, e: holds(both(t, e)), 4)
    add("{some} {any_thing} {at_edge}", lambda q, t, e: has(q, both(t, e)), 3)
    add("{lone} {any_thing} {at_edge}", lambda q, t, e: has(q, both(t, e)), 2)
    add("{many} {any_things} {at_edge}", lambda q, t, e: has(q, both(t, e)), 3)
    add("{many} objects touching {edge} which are not {colour}", lambda q, e, c: has(q, both(e, opposite(c))), 0.3)
    add("{scattered_items} of which {some} (object|item) is {at_edge}", lambda n, q, e: both(n, has(q, e)), 0.5)
    add("{scattered_items} and (the|) {few} are {at_edge}", lambda n, m, e: both(n, has(exactly(m), e)), 0.4)
    add("{scattered_contents} and a {any_thing} {at_edge}", lambda what, t, e: both(what, holds(both(t, e))), 0.8)
    add("{scattered_contents} and a {colour} one {at_edge}", lambda what, c, e: both(what, holds(both(c, e))), 0.3)
    add("{lone} {thing} and it is {at_edge}", lambda q, t, e: both(has(q, t), holds(both(t, e))), 0.3)
    say = partial(grammar.add, "scattered", kind="scattered: boxes with things at walls")
    say("there is {single} {box} {with_box} {wall_contents}", boxes, 2.5)
    say("there are {two_of} {boxes} {with_boxes} {wall_contents}", boxes, 1)
    say(
        "(each|every) (box|grey box|grey square) (has|contains) {wall_contents}",
        lambda what: boxes(exactly(3), what),
        1.5,
    )
    say("one of the grey (box|square) (has|contains) {wall_contents}", lambda what: boxes(at_least(1), what), 1.5)
    say("there is a grey box where none of the {any_things} are {touching}", _none_at, 0.3)


def _none_at(things: Things, edge: Things) -> Truth:
    return boxes(at_least(1), both(holds(things), has(none(), both(things, edge))))
