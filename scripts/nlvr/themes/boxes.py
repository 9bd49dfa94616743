"""Sentences about boxes and what is in them: of the boxes towers stand in, and of scattered things, alike.

It knows nothing about walls and tops; what lies where is another theme.
"""

from __future__ import annotations

from functools import partial

from scripts.nlvr.album import Album, Mask
from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Property, Truth, at_least, both, boxes, count, exactly, has, none
from scripts.nlvr.properties import height, holds, in_one_box, shared
from scripts.nlvr.themes.contents import add_contents

NOUNS = {"towers": "item", "scattered": "any_thing"}


def add_boxes(grammar: Grammar) -> None:
    """Sentences for both starts; parts ``box``, ``with_box``, ``some_boxes``, ``with_boxes`` and the contents."""
    words = grammar.words
    words("box", {"box*7|grey box": None}, 8)
    words("box", {"square|grey square": None}, 0.2)
    words(
        "with_box",
        {"with*12|that has|which has|having|containing|, which has|where there is": None},
    )
    words("with_boxes", {"with*3|that have|that has|which have|containing|having": None})
    words("boxes", {"boxes*4|grey boxes|grey squares": None})
    for head, noun in NOUNS.items():
        add_contents(grammar, head, noun)
        _with(grammar, head, 1.0 if head == "scattered" else 0.3)
    _one_of(grammar)
    _every(grammar)
    _counted(grammar)


def _with(grammar: Grammar, head: str, rate: float) -> None:
    say = partial(grammar.add, head, kind=f"{head}: boxes with")
    inside = f"{{{head}_contents}}"
    say(f"there is {{single}} {{box}} {{with_box}} {inside}", boxes, 34 * rate)
    say(f"there are {{two_of}} {{boxes}} {{with_boxes}} {inside}", boxes, 5 * rate)
    say(f"(one|1) box (has*2|contains|with) {inside}", lambda what: boxes(exactly(1), what), 1.2 * rate)
    say(f"(two|2) boxes (have|has|contain) {inside}", lambda what: boxes(exactly(2), what), 0.5 * rate)
    say(
        f"there are {{two_of}} boxes with {{{head}_items}} and each has {inside}",
        lambda q, n, what: boxes(q, both(n, what)),
        0.2 * rate,
    )
    say(f"there are boxes (with|that have) {inside}", lambda what: boxes(at_least(1), what), 0.2 * rate)
    say(
        "there are two boxes (that has|that have|which has|with) the same number of (objects|items)",
        lambda: shared(exactly(2), height),
        0.4 * rate,
    )


def _one_of(grammar: Grammar) -> None:
    say = partial(grammar.add, "scattered", kind="scattered: one of the grey boxes")
    some = "one of the grey (box*3|square*2|boxes)"
    say(f"{some} (has|contains) {{scattered_contents}}", _one_has, 5)
    say(f"{some} (has|contains) {{any_many}} objects", lambda q: boxes(at_least(1), lambda a: q(a.height)), 2)
    say(
        f"{some} (has|contains) (exactly one|only one) object", lambda: boxes(at_least(1), lambda a: a.height == 1), 0.7
    )
    say("(at least one|at least one of the|one) grey box (has|contains) {scattered_contents}", _one_has, 1.5)
    say("(none of the|no) grey (boxes|box) (has|contains) {scattered_contents}", lambda what: boxes(none(), what), 0.4)
    say("there are {any_many} objects in (one|a) grey box", lambda q: boxes(at_least(1), lambda a: q(a.height)), 0.5)
    say(
        "there are exactly {more} objects in a grey box of which one is a {any_thing}",
        lambda n, t: boxes(at_least(1), both(lambda a: a.height == n, holds(t))),
        0.4,
    )
    say(
        "the grey box with (least|the least) number of (object|objects) contains {scattered_contents}",
        lambda what: boxes(at_least(1), both(_fewest, what)),
        0.3,
    )
    say("the box with the most (items|objects) (has|contains) {scattered_contents}", _most_has, 0.1)


def _one_has(what: Property) -> Truth:
    return boxes(at_least(1), what)


def _fewest(album: Album) -> Mask:
    least: Mask = album.height == album.height.min(1, keepdims=True)
    return least


def _most_has(what: Property) -> Truth:
    return boxes(at_least(1), both(lambda album: album.height == album.height.max(1, keepdims=True), what))


def _every(grammar: Grammar) -> None:
    for head, noun in NOUNS.items():
        rate = 0.7 if head == "scattered" else 0.15
        say = partial(grammar.add, head, kind=f"{head}: every box")
        every = "(each*2|every) (box*2|grey box|grey square)"
        say(f"{every} (has|contains) {{{head}_contents}}", lambda what: boxes(exactly(3), what), 2.5 * rate)
        say(f"all (the|) boxes (have|contain) {{{head}_contents}}", lambda what: boxes(exactly(3), what), 0.3 * rate)
        say(f"there is {{some}} {{{noun}}} in (each*2|every) box", lambda q, t: boxes(exactly(3), has(q, t)), rate)
        say(f"there is (a|1) {{{noun}}} in (each|every) box", lambda t: boxes(exactly(3), holds(t)), 0.7 * rate)
        say(f"there is {{some}} {{{noun}}} in {{two_of}} boxes", lambda q, t, n: boxes(n, has(q, t)), 0.1 * rate)


def _counted(grammar: Grammar) -> None:
    say = partial(grammar.add, "scattered", kind="scattered: how many things")
    say("there is {single} {thing}", count, 3)
    say("there (are*3|is) {any_many} {things}", count, 6)
    say("there is {lone_or_a} {thing} and {lone_or_a} {thing}", lambda q, s, r, t: both(count(q, s), count(r, t)), 1)
    say(
        "there are {few} {things} and {lone_or_a} {thing}",
        lambda n, s, r, t: both(count(exactly(n), s), count(r, t)),
        0.7,
    )
    say("all (the|) {things} are in the same box", in_one_box, 0.6)
    say("there are more {things} than {things}", lambda s, t: lambda a: s(a).sum((1, 2)) > t(a).sum((1, 2)), 0.2)
    say = partial(grammar.add, "towers", kind="towers: how many things")
    say("there are {any_many} {items}", count, 1)
    say("all (the|) {items} are in the same box", in_one_box, 0.4)
    say("there is {single} {item}", count, 0.3)
