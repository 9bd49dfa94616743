"""Sentences about boxes and what is in them, of towers ("items") and of scattered things alike.

It knows nothing about walls; what touches what is another theme.
"""

from __future__ import annotations

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import (
    Property,
    Quantity,
    Things,
    anything,
    at_least,
    at_most,
    both,
    boxes,
    count,
    exactly,
    has,
    none,
    only,
    opposite,
)
from scripts.nlvr.quantities import sensible
from scripts.nlvr.towers import alike, colours


def total(quantity: Quantity) -> Property:
    """Boxes with so many things."""
    return lambda album: quantity(album.height)


def of_colours(*names: str) -> Property:
    """Boxes with things of each of these colours and of no other."""
    sensible(len(set(names)) == len(names))
    return only(*(_named(name) for name in names))


def _named(name: str) -> Things:
    return lambda album: album.colour(name)


def add_boxes(grammar: Grammar) -> None:
    """Sentences about boxes for ``towers`` and ``scattered``, and their parts."""
    grammar.words("colour_names", {}, 1)
    for head, noun in (("towers", "item"), ("scattered", "any_thing")):
        _lists(grammar, head, noun)
        _contents(grammar, head, noun)
        _sentences(grammar, head, noun)


def _lists(grammar: Grammar, head: str, noun: str) -> None:
    """``*_entry`` is one or several things of a sort; ``*_list`` joins them."""
    def add(name: str, pattern: str, meaning: object, weight: float) -> None:
        grammar.add(f"{head}_{name}", pattern.replace("{thing", f"{{{noun}").replace("{entry", f"{{{head}_entry"), meaning, weight)  # type: ignore[arg-type]

    add("entry", "a {thing}", lambda t: has(at_least(1), t), 6)
    add("entry", "(1|one) {thing}", lambda t: has(exactly(1), t), 2)
    add("entry", "exactly (1|one) {thing}", lambda t: has(exactly(1), t), 1)
    add("entry", "at least (1|one|a) {thing}", lambda t: has(at_least(1), t), 2)
    add("entry", "{few} {things}", lambda n, t: has(exactly(n), t), 3)
    add("entry", "exactly {few} {things}", lambda n, t: has(exactly(n), t), 0.7)
    add("entry", "at least {few} {things}", lambda n, t: has(at_least(n), t), 1.3)
    add("entries", "{entry} and {entry}", both, 6)
    add("entries", "{entry} , {entry} and {entry}", both, 1.5)
    add("entries", "{thing} and {thing}", lambda s, t: both(has(at_least(1), s), has(at_least(1), t)), 0.3)


def _contents(grammar: Grammar, head: str, noun: str) -> None:
    def add(pattern: str, meaning: object, weight: float) -> None:
        pattern = pattern.replace("{thing", f"{{{noun}").replace("{entries", f"{{{head}_entries")
        grammar.add(f"{head}_contents", pattern, meaning, weight)  # type: ignore[arg-type]

    add("{lone} {thing}", lambda q, t: has(q, t), 2.5)
    add("a {thing}", lambda t: has(at_least(1), t), 0.5)
    add("at least (1|one) {thing}", lambda t: has(at_least(1), t), 2)
    add("{many} {things}", lambda q, t: has(q, t), 6)
    add("{things}", lambda t: has(at_least(1), t), 0.7)
    add("{entries}", lambda e: e, 8 if head == "scattered" else 3)
    add("a {thing} and no {things}", lambda s, t: both(has(at_least(1), s), has(none(), t)), 0.3)

    add("{any_many} (items|items|objects)", total, 4)
    add("{lone} (item|item|object)", total, 3)
    add("many items", lambda: total(at_least(5)), 0.3)
    add("{more} (items|objects)", lambda n: total(exactly(n)), 0)

    add("only {thing}s", lambda t: only(t), 0) if False else None
    add("only {colour} items", lambda c: only(c), 1)
    add("only {things}", lambda t: only(t), 0.7)
    add("only {colour_name} and {colour_name} items", of_colours, 3)
    add("items of only {colour_name} and {colour_name} color", of_colours, 1)
    add("items of (only one|only 1|the same|same) color", lambda: colours(exactly(1)), 1)
    add("items of (2|two|only 2|exactly 2) different (colors|colors|color)", lambda: colours(exactly(2)), 0.7)
    add("items of (all 3|all three|3|three|all 3) different (colors|colors|color)", lambda: colours(exactly(3)), 1)
    add("(all 3|all three) (colors|different colors)", lambda: colours(exactly(3)), 0.3)
    add("(three|3) different colors", lambda: colours(exactly(3)), 0.2)

    add("{some_items} (of|of|with) (all 3|all three|3|three|all 3) different (colors|color)",
        lambda items: both(items, colours(exactly(3))), 1.5)
    add("{some_items} of (2|two|only 2) different (colors|color)", lambda items: both(items, colours(exactly(2))), 1)
    add("{some_items} of (the same|same|only one|only 1) color", lambda items: both(items, colours(exactly(1))), 0.5)
    add("{some_items} (of|of only|with only|of only) {colour_name} and {colour_name} color",
        lambda items, c, d: both(items, of_colours(c, d)), 1.5)
    add("only {few} {colour_name} and {colour_name} items",
        lambda n, c, d: both(total(exactly(n)), of_colours(c, d)), 0.5)
    add("{some_items} but not all (3|three) different colors", lambda items: both(items, lambda a: a.colours.sum(-1) < 3), 0.2)
    add("{some_items} of which (1|one) is (a|) {colour}", lambda items, c: both(items, has(exactly(1), c)), 0.5)
    add("{some_items} of which (1|one) is a {thing}", lambda items, t: both(items, has(exactly(1), t)), 0.5)
    add("{some_items} of which {few} are {colour}", lambda items, n, c: both(items, has(exactly(n), c)), 1)
    add("{some_items} of which at least {few} are {colour}", lambda items, n, c: both(items, has(at_least(n), c)), 0.3)
    add("{some_items} and (the|) (1|one) is {colour}", lambda items, c: both(items, has(exactly(1), c)), 0)
    add("{some_items} and the {few} (items|) are {colour} (in color|)", lambda items, n, c: both(items, has(exactly(n), c)), 0.3)
    grammar.add(f"{head}_items", "{more} items", lambda n: total(exactly(n)), 1)
    grammar.add("some_items", "{more} items", lambda n: total(exactly(n)), 5) if head == "towers" else None
    if head == "towers":
        grammar.add("some_items", "exactly {more} (items|objects)", lambda n: total(exactly(n)), 0.7)
        grammar.add("some_items", "only {more} items", lambda n: total(exactly(n)), 0.7)
        grammar.add("some_items", "{more} items at most", lambda n: total(at_most(n)), 0.7)
        grammar.add("some_items", "at least {more} items", lambda n: total(at_least(n)), 0.5)
        grammar.add("some_items", "multiple items", lambda: total(at_least(2)), 0.5)
        grammar.add("one_object", "{lone} object", total)

    add("(exactly|only) {more} objects (one of which|of which one) is a {thing}",
        lambda n, t: both(total(exactly(n)), has(at_least(1), t)), 1 if head == "scattered" else 0.1)
    add("exactly {more} objects (which are|that are) {colour}", lambda n, c: has(exactly(n), c), 0.7)
    add("exactly (one|1) object which is {colour}", lambda c: has(exactly(1), c), 0.7)
    add("{lone} item (that is|which is) {colour}", lambda q, c: has(q, c), 0.7)
    add("{lone} item (that is|which is) not {colour}", lambda q, c: has(q, opposite(c)), 0.5)
    add("{few} items of (the|) same color", lambda n: alike(n), 0.2)
    add("{lone} item and (it is|that is) {colour}", lambda q, c: both(total(exactly(1)), only(c)), 0.3)


def _sentences(grammar: Grammar, head: str, noun: str) -> None:
    def say(pattern: str, meaning: object, weight: float, kind: str) -> None:
        pattern = pattern.replace("{thing", f"{{{noun}").replace("{contents", f"{{{head}_contents")
        rate = weight if head == "scattered" else weight / 3
        grammar.add(head, pattern, meaning, rate, f"{head}: {kind}")  # type: ignore[arg-type]

    kind = "boxes with"
    say("there is {single} {box} {with_box} {contents}", lambda q, p: boxes(q, p), 28, kind)
    say("there are {some_boxes} {with_boxes} {contents}", lambda q, p: boxes(q, p), 5, kind)
    say("(one|1) box (has|with|contains) {contents}", lambda p: boxes(at_least(1), p), 1.5, kind)
    if head == "towers":
        grammar.add("box", "(box|box|box|box|grey box)", lambda: None)
        grammar.words("with_box", {"with|with|with|with|with|that has|which has|having|containing": None})
        grammar.words("with_boxes", {"with|with|with|that have|that has|which have|containing": None})
        grammar.add("some_boxes", "(2|two) (boxes|boxes|boxes|grey boxes)", lambda: exactly(2), 4)
        grammar.add("some_boxes", "(exactly|only) (2|two) (boxes|grey boxes)", lambda: exactly(2), 2)
        grammar.add("some_boxes", "at least (2|two) (boxes|grey boxes)", lambda: at_least(2), 1.5)
        grammar.add("some_boxes", "(3|three) boxes", lambda: exactly(3), 0.2)
    else:
        kind = "one of the grey boxes"
        say("one of the grey (box|box|square|square|boxes) (has|contains) {contents}", lambda p: boxes(at_least(1), p), 9, kind)
        say("at least one (of the|) grey box (has|contains) {contents}", lambda p: boxes(at_least(1), p), 1.5, kind)
        say("none of the grey (boxes|box) (has|contains) {contents}", lambda p: boxes(none(), p), 0.4, kind)
    kind = "every box"
    say("(each|each|every) (box|box|grey box|grey square) (has|contains) {contents}", lambda p: boxes(exactly(3), p), 3, kind)
    say("all (the|) boxes (have|contain) {contents}", lambda p: boxes(exactly(3), p), 0.3, kind)
    say("there is {some} {thing} in (each|every) box", lambda q, t: boxes(exactly(3), has(q, t)), 1, kind)
    say("there is (a|1) {thing} in (each|every) box", lambda t: boxes(exactly(3), has(at_least(1), t)), 0.7, kind)
    kind = "boxes alike"
    say("there are (two|2) boxes (that has|that have|which has|with) the same number of (objects|items)", lambda: _same_number, 0.5, kind)

    kind = "how many things"
    if head == "scattered":
        say("there is {single} {thing}", count, 3, kind)
        say("there (are|are|are|is) {any_many} {things}", count, 6, kind)
        say("there is (1|one) {thing} and (1|one) {thing}", lambda s, t: both(count(exactly(1), s), count(exactly(1), t)), 0.7, kind)
        say("there are {few} {things} and (1|one) {thing}",
            lambda n, s, t: both(count(exactly(n), s), count(exactly(1), t)), 0.5, kind)
        say("all {things} are in the same box", _in_one_box, 0.5, kind)
    else:
        say("there are {many} {things}", count, 2, kind)


def _same_number(album: Album) -> Mask:
    height = album.height
    return (height[:, :, None] == height[:, None, :]).sum(-1).max(1) == 2


def _in_one_box(things: Things) -> Property:
    return lambda album: things(album).any(-1).sum(-1) == 1


