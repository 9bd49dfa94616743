"""Reads real NLVR examples back: the sentence in the grammar's spelling, the objects as a scene.

So the grammar is checked against labels people gave, and their own words are said of made scenes; it knows nothing
about how examples are paired.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from scripts.nlvr.album import Album
from scripts.nlvr.drawing import BOX, PITCH
from scripts.nlvr.grammar import Sentence
from scripts.nlvr.scenes import BLOCK, BOXES, SIDE, TOWER_X, Scene, Thing
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


def heard(table: Path) -> dict[bool, list[Sentence]]:
    """The sentences of ``table`` as people typed them, with what they mean: of towers (True), of scattered things."""
    told: dict[bool, list[Sentence]] = {True: [], False: []}
    for row in pq.read_table(table, columns=["sentence", "image"]).to_pylist():
        towers = shows_towers(np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")))
        readings = grammar().read("towers" if towers else "scattered", plain(row["sentence"]))
        if readings:
            told[towers].append(replace(readings[0], text=row["sentence"], kind="heard"))
    return told


def shows_towers(pixels: NDArray[np.uint8]) -> bool:
    """Whether the picture ``[100, 400, 3]`` is empty beside the places where towers stand."""
    boxes = [pixels[:, box * PITCH : box * PITCH + SIDE] for box in range(BOXES)]
    beside = [np.delete(box, slice(TOWER_X, TOWER_X + BLOCK), axis=1) for box in boxes]
    return all(bool((side == BOX).all()) for side in beside)


def reading(sentence: str, scene: Scene) -> Sentence | None:
    """What the sentence means by the grammar, the first reading if there are several; None if it cannot say it."""
    readings = grammar().read("towers" if scene.towers else "scattered", plain(sentence))
    return readings[0] if readings else None


def truth(sentence: Sentence, scene: Scene) -> bool:
    """Whether what was read is true of the scene."""
    return bool(sentence.meaning(Album.of([scene]))[0])
