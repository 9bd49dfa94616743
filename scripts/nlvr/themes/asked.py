"""Questions that ask for a number: how many things there are, how many towers or boxes have something.

They name everything that statements name, in the same words; it knows nothing about which scenes are asked of.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from scripts.nlvr.grammar import Grammar
from scripts.nlvr.meaning import Number, Things, anything, both
from scripts.nlvr.properties import on
from scripts.nlvr.scenes import BOXES
from scripts.nlvr.themes.stacks import WALL

PLACES = {"left": 0, "middle": 1, "right": 2}


def add_asked(grammar: Grammar) -> None:
    """Parts ``towers_asked`` and ``scattered_asked``, whose meanings are numbers of each scene."""
    grammar.words("place_of_box", {f"in the {name} box": number for name, number in PLACES.items()})
    _of_towers(grammar)
    _of_scattered(grammar)


def _of_towers(grammar: Grammar) -> None:
    ask = partial(_ask, grammar, "towers_asked")
    ask("{colour} blocks", Number, 3, kind="things")
    ask("{items}", Number, 2, kind="things")
    ask("(blocks|items|objects)", lambda: Number(anything), 1, kind="things")
    ask("{colour} blocks {place_of_box}", in_box, 2, kind="things")
    ask("blocks {place_of_box}", lambda box: in_box(anything, box), 0.5, kind="things")
    ask("{colour} blocks {over} {colour} blocks", lambda s, up, t: Number(on(s, t, up)), 2, kind="relations")
    ask(f"{{items}} {WALL}", lambda s: Number(both(s, lambda album: album.floor(0))), 1, kind="relations")
    ask("{colour} blocks {place}", lambda s, where: Number(both(s, where)), 3, kind="relations")
    ask("towers {which}", Number, 9, kind="towers")
    ask("towers (have|with) {property}", Number, 3, kind="towers")
    ask("towers (have|with|of) {tall}", Number, 2, kind="towers")
    ask("{boxes} {with_boxes} {towers_contents}", Number, 2, kind="boxes")
    ask("{boxes} {with_boxes} {layered}", Number, 2, kind="boxes")


def _of_scattered(grammar: Grammar) -> None:
    ask = partial(_ask, grammar, "scattered_asked")
    ask("{any_things}", Number, 4, kind="things")
    ask("{shapes}", Number, 2, kind="things")
    ask("{nouns} {place_of_box}", in_box, 0.5, kind="things")
    ask("{nouns} {at_edge}", lambda s, t: Number(both(s, t)), 2, kind="relations")
    ask("{any_things} {place_of_box}", in_box, 2, kind="things")
    ask("{any_things} {at_edge}", lambda s, t: Number(both(s, t)), 7, kind="relations")
    ask("{boxes} {with_boxes} {scattered_contents}", Number, 10, kind="boxes")
    ask("{boxes} {with_boxes} {wall_contents}", Number, 2, kind="boxes")


def _ask(grammar: Grammar, name: str, pattern: str, meaning: Callable[..., Number], weight: float, kind: str) -> None:
    grammar.add(name, f"(how many*3|number of) {pattern}", meaning, weight, kind=f"asked: {kind}")


def in_box(sort: Things, box: int) -> Number:
    """How many such things there are in one of the boxes."""
    only = np.arange(BOXES)[:, None] == box
    return Number(lambda album: sort(album) & only)
