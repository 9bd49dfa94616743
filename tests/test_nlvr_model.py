"""The shipped reasoning model: statements about drawn scenes, judged from their pixels alone."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import open_autoglm
from open_autoglm.bundle import find_bundle
from scripts.nlvr.drawing import draw, encode
from scripts.nlvr.scenes import Scene, Thing, tower

NLVR = Path(__file__).parent.parent / ".." / "shared" / "data" / "nlvr"

TOWERS = Scene((tower(["black", "blue", "black", "yellow"]), tower(["black"]), tower(["yellow", "blue", "blue"])), True)
SCATTERED = Scene(
    (
        (Thing(70, 70, 30, "circle", "blue"), Thing(0, 40, 10, "square", "black")),
        (Thing(30, 40, 20, "circle", "yellow"),),
        (Thing(20, 20, 30, "square", "yellow"), Thing(60, 80, 20, "square", "yellow")),
    ),
    False,
)
SAID = (
    (TOWERS, "There is a tower with four blocks.", True),
    (TOWERS, "There is a tower with only one block.", True),
    (TOWERS, "There is exactly one tower with a black block at the base.", False),
    (TOWERS, "There are two towers with a black block at the base.", True),
    (TOWERS, "There is a yellow block above a black block.", True),
    (TOWERS, "There is a tower with a blue block at the base.", False),
    (SCATTERED, "There are exactly two yellow squares.", True),
    (SCATTERED, "There is a black circle.", False),
    (SCATTERED, "There is a box with only yellow squares.", True),
    (SCATTERED, "There is a box with 3 items.", False),
    (SCATTERED, "There is a black square touching the wall.", True),
    (SCATTERED, "There are two triangles.", False),
)


@cache
def model() -> open_autoglm.Model:
    return open_autoglm.load("open-autoglm-nlvr")


def test_statements_are_judged() -> None:
    right = [(model().verify(encode(draw(scene)), said) > 0.5) is wanted for scene, said, wanted in SAID]
    assert sum(right) >= 11


def test_the_words_decide_as_much_as_the_picture() -> None:
    picture = encode(draw(SCATTERED))
    assert model().verify(picture, "There are exactly two yellow squares.") > 0.7
    assert model().verify(picture, "There are exactly three yellow squares.") < 0.3


def test_an_answer_rests_on_the_things_it_is_about() -> None:
    found = model().ask(encode(draw(SCATTERED)), "There is a black square touching the wall.").regions
    left, top, right, bottom = found.boxes[0]
    assert left <= 5 <= right and top <= 45 <= bottom and right - left < 20
    assert found.scores[0] > 0.5


def test_it_takes_up_little() -> None:
    folder = find_bundle("open-autoglm-nlvr")
    assert folder is not None
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) <= 15_000_000


@pytest.mark.skipif(not (NLVR / "dev.parquet").exists(), reason="needs ../shared/data/nlvr")
def test_real_statements_are_judged() -> None:
    rows = pq.read_table(NLVR / "dev.parquet", columns=["sentence", "label", "image"]).slice(0, 120).to_pylist()
    pictures = [np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")) for row in rows]
    right = [
        (model().verify(picture, row["sentence"]) > 0.5) is row["label"]
        for picture, row in zip(pictures, rows, strict=True)
    ]
    assert np.mean(right) >= 0.75


def test_where_there_is_nothing_no_region_is_named() -> None:
    found = model().ask(encode(draw(SCATTERED)), "There are two triangles.").regions
    assert len(found.boxes) == len(found.scores) == 0 and found.heatmap.max() < 0.5
