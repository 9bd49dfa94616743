"""Sentences about walls, corners and neighbours: what touches what, in scattered scenes and, of bases, in towers.

Things touch when at most one pixel lies between them; it knows nothing about counts of boxes beyond that.
"""

from __future__ import annotations

from scripts.nlvr.album import AGAINST, Album, Mask
from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import (
    Property,
    Things,
    at_least,
    both,
    boxes,
    count,
    exactly,
    has,
    linked,
    none,
    opposite,
)
from scripts.nlvr.towers import colours


def wall(album: Album) -> Mask:
    """What touches any wall."""
    return album.wall


def corner(album: Album) -> Mask:
    """What touches two walls at once."""
    return album.corner


def side(name: str) -> Things:
    """What touches this wall."""
    return lambda album: album.walls[name]


def corner_of(*names: str) -> Things:
    """What touches all of these walls."""
    return both(*(side(name) for name in names))


def beside(first: Things, second: Things) -> Things:
    """Things of the first sort that touch one of the second."""
    return linked(first, lambda album: album.near <= AGAINST, second)


def add_touching(grammar: Grammar) -> None:
    """Sentences about touching for ``scattered`` and ``towers``, and their parts."""
    _walls(grammar)
    _counted(grammar)
    _in_boxes(grammar)
    _in_towers(grammar)


def _walls(grammar: Grammar) -> None:
    add = grammar.add
    grammar.words("edge", {"the edge|the edge|any edge|an edge|the wall|the wall|the side|the side of the box|the walls|a wall of a box|a wall": wall}, 6)
    grammar.words("edge", {"the base|the base|the bottom base|the bottom|the bottom of a box|the bottom of the box": side("bottom")}, 4)
    grammar.words("edge", {"right wall of a box|the right wall|the right wall of a box|right wall": side("right")}, 1)
    grammar.words("edge", {"the roof of a box|the top|the top of a box|the roof": side("top")}, 0.7)
    grammar.words("edge", {"left wall of a box|the left wall": side("left")}, 0.3)
    grammar.words("edge", {"a corner|the corner|a corner of a box|the corner of a box|the corner|a box corner": corner}, 2)
    grammar.words("edge", {"the bottom right corner|bottom-right corner of a box|the right corner of the box": corner_of("bottom", "right")}, 0.4)
    grammar.words("edge", {"the bottom left corner": corner_of("bottom", "left"), "the top right corner": corner_of("top", "right")}, 0.1)
    add("at_edge", "(touching|touching|touching|closely touching|closely touching|nearly touching) {edge}", lambda where: where, 8)
    add("at_edge", "not touching {edge}", opposite, 3)


def _counted(grammar: Grammar) -> None:
    def say(pattern: str, meaning: object, weight: float, kind: str) -> None:
        grammar.add("scattered", pattern, meaning, weight, f"scattered: {kind}")  # type: ignore[arg-type]

    kind = "things at walls"
    say("there is {single} {any_thing} {at_edge}", lambda q, t, e: count(q, both(t, e)), 22, kind)
    say("there (are|are|are|is) {many} {any_things} {at_edge}", lambda q, t, e: count(q, both(t, e)), 13, kind)
    say("(exactly|) {few} {any_things} are {at_edge}", lambda n, t, e: count(exactly(n), both(t, e)), 1, kind)
    say("at least one {any_thing} is {at_edge}", lambda t, e: count(at_least(1), both(t, e)), 0.5, kind)
    say("none of the {any_things} are {at_edge}", lambda t, e: count(none(), both(t, e)), 2, kind)
    say("{things} are {at_edge}", lambda t, e: count(at_least(1), both(t, e)), 0.5, kind)
    say("the {thing} is {at_edge}", lambda t, e: count(at_least(1), both(t, e)), 0.5, kind)
    say("all (the|) {things} are {at_edge}", lambda t, e: both(count(at_least(1), t), count(none(), both(t, opposite(e)))), 0.3, kind)
    say("there is (a|at least one) {any_thing} touching the edge (that is|which is) not {colour}",
        lambda t, c: count(at_least(1), both(t, wall, opposite(c))), 0.3, kind)

    kind = "things touching"
    say("there is {single} {thing} (touching|closely touching|near) a {thing}",
        lambda q, s, t: count(q, beside(s, t)), 1, kind)
    say("there are (two|2) {things} touching each other", lambda t: count(at_least(2), beside(t, t)), 0.7, kind)


def _in_boxes(grammar: Grammar) -> None:
    def say(pattern: str, meaning: object, weight: float, kind: str) -> None:
        grammar.add("scattered", pattern, meaning, weight, f"scattered: {kind}")  # type: ignore[arg-type]

    kind = "boxes with things at walls"
    add = grammar.add
    add("at_wall_contents", "a {any_thing} {at_edge}", lambda t, e: has(at_least(1), both(t, e)), 4)
    add("at_wall_contents", "{some} {any_thing} {at_edge}", lambda q, t, e: has(q, both(t, e)), 3)
    add("at_wall_contents", "{lone} {any_thing} {at_edge}", lambda q, t, e: has(q, both(t, e)), 2)
    add("at_wall_contents", "{many} {any_things} {at_edge}", lambda q, t, e: has(q, both(t, e)), 3)
    add("at_wall_contents", "a {thing} and a {thing} touching each other", lambda s, t: has(at_least(1), beside(s, t)), 0.5)
    add("at_wall_contents", "a {thing} (touching|closely touching) a {thing}", lambda s, t: has(at_least(1), beside(s, t)), 0.5)
    add("at_wall_contents", "{few} {things} (not|) touching each other", lambda n, t: has(at_least(2), beside(t, t)), 0)
    add("at_wall_contents", "{entry_any} and a {thing} {at_edge}", lambda p, t, e: both(p, has(at_least(1), both(t, e))), 1)
    add("entry_any", "{scattered_contents}", lambda p: p)
    say("there is {single} {box} {with_box} {at_wall_contents}", lambda q, p: boxes(q, p), 4, kind)
    say("there are {some_boxes} {with_boxes} {at_wall_contents}", lambda q, p: boxes(q, p), 2, kind)
    say("(each|every) (box|grey box|grey square) (has|contains) {at_wall_contents}", lambda p: boxes(exactly(3), p), 1.5, kind)
    say("one of the grey (box|square) (has|contains) {at_wall_contents}", lambda p: boxes(at_least(1), p), 2, kind)
    say("there is a grey box where none of the {any_things} are touching the edge",
        lambda t: boxes(at_least(1), both(has(at_least(1), t), has(none(), both(t, wall)))), 0.3, kind)


def _in_towers(grammar: Grammar) -> None:
    """Of a tower only the base touches a wall, the lower one."""
    def say(pattern: str, meaning: object, weight: float) -> None:
        grammar.add("towers", pattern, meaning, weight, "towers: items at walls")  # type: ignore[arg-type]

    grammar.words("tower_wall", {"touching the wall|touching the side|touching the bottom|touching the base": wall})
    say("there is {single} {item} {tower_wall}", lambda q, t, e: count(q, both(t, e)), 1.5)
    say("there are {many} {items} {tower_wall}", lambda q, t, e: count(q, both(t, e)), 1)
    say("the {item} is touching the wall", lambda t: count(at_least(1), both(t, wall)), 0.3)
    say("the {item} is not touching the wall", lambda t: count(at_least(1), both(t, opposite(wall))), 0.2)
    say("{few} {items} are touching the wall", lambda n, t: count(exactly(n), both(t, wall)), 0.3)
    say("(all 3|all three) different colors are touching the wall", lambda: _wall_colours(3), 0.3)
    say("there (is|are) only (one|1) color touching the wall", lambda: _wall_colours(1), 0.3)
    say("there is {single} {item} (on top|on the top)", lambda q, t: count(q, both(t, lambda a: a.highest)), 0.7)
    add = grammar.add
    add("topped", "a {item} (on top|on the top)", lambda t: has(at_least(1), both(t, lambda a: a.highest)), 3)
    add("topped", "a {colour} one on top", lambda t: has(at_least(1), both(t, lambda a: a.highest)), 1.5)
    add("topped", "the {colour} one (is|) on top", lambda t: has(at_least(1), both(t, lambda a: a.highest)), 0.7)
    add("topped", "a {item} {tower_wall}", lambda t, w: has(at_least(1), both(t, w)), 2)
    add("topped", "a {colour} one {tower_wall}", lambda t, w: has(at_least(1), both(t, w)), 1)
    add("topped", "a {item} touching the wall (and|with) a {item} (on top of it|right on top of it|on top)",
        lambda s, t: has(at_least(1), linked(both(s, wall), lambda a: a.above.swapaxes(-1, -2), t)), 2)
    add("topped", "a {item} on top and a {item} right beneath it",
        lambda s, t: has(at_least(1), linked(both(s, lambda a: a.highest), lambda a: a.above, t)), 0.5)
    add("topped", "a {item} between (two|2) items of (the|) same color", _between_same, 0.5)
    say("there is {single} box with {topped}", lambda q, p: boxes(q, p), 4)
    say("there are {some_boxes} with {topped}", lambda q, p: boxes(q, p), 1)
    say("there is {single} box with {some_items} and {topped}", lambda q, n, p: boxes(q, both(n, p)), 3.5)
    say("there is a box with (all 3 colors|all 3 different colors|items of all 3 different colors) and {topped}",
        lambda p: boxes(at_least(1), both(colours(exactly(3)), p)), 0.5)
    say("there is a box with items of 2 different colors and {topped}",
        lambda p: boxes(at_least(1), both(colours(exactly(2)), p)), 0.5)


def _wall_colours(number: int) -> Property:
    def holds(album: Album) -> Mask:
        return sum((album.colour(c) & album.wall).any((1, 2)).astype(int) for c in ("yellow", "black", "blue")) == number  # type: ignore[return-value]
    return holds


def _between_same(colour: Things) -> Property:
    def holds(album: Album) -> Mask:
        mine, looks = colour(album), album.facts[..., 4]
        return (mine[..., 1:-1] & (looks[..., :-2] == looks[..., 2:]) & album.there[..., 2:]).any(-1)
    return holds
