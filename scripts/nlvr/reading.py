"""Reads real NLVR examples back: the sentence in the grammar's spelling, the objects as a scene.

It is how the grammar is checked against labels people gave; it knows nothing about making examples.
"""

from __future__ import annotations

import json
import re

from scripts.nlvr.album import Album
from scripts.nlvr.drawing import PITCH
from scripts.nlvr.grammar import Sentence
from scripts.nlvr.scenes import BOXES, TOWER_X, Scene, Thing
from scripts.nlvr.sentences import grammar

WORDS = {
    "an": "a",
    "atleast": "at least",
    "lest": "least",
    "leats": "least",
    "colour": "color",
    "colours": "colors",
    "bellow": "below",
    "yelow": "yellow",
    "yelloe": "yellow",
    "squere": "square",
    "cirlce": "circle",
    "tocuhing": "touching",
    "bloxk": "block",
    "blccks": "blocks",
    "ble": "blue",
    "ablue": "a blue",
    "abox": "a box",
    "isa": "is a",
    "nealy": "nearly",
    "wih": "with",
}
PHRASES = (
    (r"^(t|at)? ?least ", "at least "),
    (r"^ll ", "all "),
    (r" t least", " at least"),
    (r"^the is ", "there is "),
    (r"(there is|with) as ", r"\1 a "),
    (r"^there is (box|tower)", r"there is a \1"),
    (r"with has", "which has"),
    (r"tower than contain", "tower that contain"),
    (r"box , which a ", "box , which has a "),
    (r"block (blocks?) ", r"black \1 "),
    (r"yellow black at", "yellow block at"),
    (r"four circle not", "four circles not"),
)


def plain(sentence: str) -> str:
    """The sentence without slips: lower case, no final dot, the grammar's spelling, commas as words."""
    text = re.sub(r"\s*,\s*", " , ", sentence.lower().strip().rstrip("./"))
    text = " ".join(WORDS.get(word, word) for word in text.split())
    for slip, right in PHRASES:
        text = re.sub(slip, right, text)
    return text


def scene_of(objects: str) -> Scene:
    """The scene of a row's ``objects``: JSON ``[[x, y, size, shape, colour], ...]`` over the whole picture."""
    boxes: list[list[Thing]] = [[] for _ in range(BOXES)]
    for x, y, size, shape, colour in json.loads(objects):
        name = "blue" if colour.startswith("#") else colour
        boxes[x // PITCH].append(Thing(x % PITCH, y, size, shape, name))
    towers = all(thing.x == TOWER_X and thing.shape == "square" for box in boxes for thing in box)
    return Scene(tuple(tuple(sorted(box, key=lambda thing: -thing.y)) for box in boxes), towers)


def reading(sentence: str, scene: Scene) -> Sentence | None:
    """What the sentence means by the grammar, the first reading if there are several; None if it cannot say it."""
    readings = grammar().read("towers" if scene.towers else "scattered", plain(sentence))
    return readings[0] if readings else None


def truth(sentence: Sentence, scene: Scene) -> bool:
    """Whether what was read is true of the scene."""
    return bool(sentence.meaning(Album.of([scene]))[0])
