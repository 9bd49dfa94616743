"""The examples made for the NLVR model: true where they say so, balanced, drawn like the real pictures, repeatable."""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from scripts.nlvr.album import Album
from scripts.nlvr.drawing import PALETTE, draw, encode
from scripts.nlvr.evidence import outlines
from scripts.nlvr.grammar import Grammar, Senseless
from scripts.nlvr.make import COUNTS, albums, write, write_counts
from scripts.nlvr.reading import heard, plain, reading, scene_of, truth
from scripts.nlvr.real import ORDERS, numbered, png, real_rows, reorder
from scripts.nlvr.scenes import SIDE, Scene, Thing, scattered, tower, towers
from scripts.nlvr.slips import type_out

NLVR = Path(__file__).parent.parent / ".." / "shared" / "data" / "nlvr"
real = pytest.mark.skipif(not (NLVR / "dev.parquet").exists(), reason="needs ../shared/data/nlvr")

TOWERS = Scene((tower(["black", "blue", "black", "yellow"]), tower(["black"]), tower(["yellow", "blue", "blue"])), True)
SCATTERED = Scene(
    (
        (
            Thing(70, 70, 30, "circle", "blue"),  # in the lower right corner
            Thing(0, 40, 10, "square", "black"),  # at the left wall
            Thing(40, 20, 20, "triangle", "black"),
        ),
        (Thing(30, 78, 20, "circle", "yellow"),),  # two pixels above the base
        (
            Thing(20, 20, 30, "square", "yellow"),
            Thing(51, 25, 10, "circle", "blue"),  # beside the yellow square
            Thing(60, 80, 20, "square", "yellow"),  # on the base
        ),
    ),
    False,
)
SAID_OF_TOWERS = {
    "There is a tower with four blocks.": True,
    "there is exactly one tower with a black block at the base": False,
    "There are 2 towers with a black block at the base": True,
    "There is a black tower": True,
    "There is a blue tower.": False,
    "There is a black tower with only one block.": True,
    "The tower with three blocks has a blue block at the top": True,
    "There is a yellow block above a black block.": True,
    "There is a yellow block on a blue block": False,
    "There is a blue block below a yellow block": False,  # one lies between
    "There is 1 tower with 2 blue blocks stacked together": True,
    "There is a tower with 2 black blocks stacked together": False,
    "There is 1 tower with exactly 2 black blocks": True,
    "there is at least one tower with only blue and yellow blocks": True,
    "There are exactly two blue blocks": False,
    "There are 3 blue blocks": True,
    "ll the towers have at least 1 black block": False,
    "One tower has a black base": False,
    "one of the towers has a black base": True,
    "There are only two towers which has the same base color.": True,
    "There are at least two towers with the same height.": False,
    "There is a box with a black item touching the wall and a blue item on top of it.": True,
    "There is a box with 4 items and the yellow one is on top.": True,
    "There is a box with 3 items of 2 different colors": True,
    "There is a box with 3 items of all 3 different colors": False,
    "There is a box with only 1 black item": True,
    "There is a tower that the second block from the base is blue": True,
    "There is no yellow block as the base of a tower with at least two blocks": False,
    "There is a blue square on top of other items": True,
    "There is a black block between two blue blocks": False,
    "There is a blue block between two black blocks": True,
}
SAID_OF_SCATTERED = {
    "There is exactly one black square touching the edge": True,
    "there are exactly two squares touching the edge": True,
    "There is a yellow circle touching the base": False,
    "There is a yellow circle closely touching the bottom of a box.": True,
    "None of the triangles are touching any edge": True,
    "None of the blue circles are touching the edge": False,
    "There is a blue circle touching the corner": True,
    "there is a black item closely touching right wall of a box": False,
    "There is 1 box with 1 blue circle": False,
    "There are 2 boxes with 1 blue circle": True,
    "There is a box with a blue circle and two black items.": True,
    "There is a box with exactly two yellow squares": True,
    "one of the grey box has exactly one object": True,
    "one of the grey square has exactly four objects": False,
    "Each box has at least 1 circle": True,
    "each grey box contains atleast one black item": False,
    "There is a box with only black and yellow items.": False,
    "There is a box with items of only blue and yellow color.": True,
    "There are 3 yellow items": True,
    "There is 1 small blue circle": True,
    "There is a big triangle": False,
    "There is a yellow square touching a blue circle": True,
    "There is a black square touching a triangle": False,
    "All black items are in the same box.": True,
    "all yellow items are in the same box": False,
    "All 3 different colors are touching the wall.": True,
    "There is a box with 3 items of which 2 are black.": True,
    "there is a box with a yellow item and no blue circles": True,
    "One of the grey box has exactly three objects one of which is a triangle": True,
}


@pytest.mark.parametrize(("sentence", "label"), SAID_OF_TOWERS.items())
def test_what_is_said_of_towers_is_judged_rightly(sentence: str, label: bool) -> None:
    read = reading(sentence, TOWERS)
    assert read is not None and truth(read, TOWERS) is label


@pytest.mark.parametrize(("sentence", "label"), SAID_OF_SCATTERED.items())
def test_what_is_said_of_scattered_things_is_judged_rightly(sentence: str, label: bool) -> None:
    read = reading(sentence, SCATTERED)
    assert read is not None and truth(read, SCATTERED) is label


def test_a_sentence_outside_the_grammar_is_not_read() -> None:
    assert reading("There is a purple tower", TOWERS) is None
    assert reading("There is a tower with four blocks and", TOWERS) is None


def test_parts_that_say_nothing_together_are_refused_when_written() -> None:
    whole = Grammar()
    whole.words("colour", {"black": "black"})

    def two(first: str, second: str) -> str:
        if first == second:
            raise Senseless
        return first

    whole.add("start", "only {colour} and {colour}", two)
    with pytest.raises(Senseless):
        whole.write("start", np.random.default_rng(0))
    assert whole.read("start", "only black and black") == []


def test_slips_keep_a_sentence_readable() -> None:
    rng = np.random.default_rng(0)
    said = "there is at least one yellow block above a blue block"
    typed = {type_out(said, rng) for _ in range(300)}
    assert len(typed) > 6
    assert sum(plain(text) == said for text in typed) >= len(typed) / 2


def test_scenes_are_like_the_real_ones() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        heights = [len(box) for box in towers(rng).boxes]
        assert all(1 <= height <= 4 for height in heights)
        for box in scattered(rng).boxes:
            assert 1 <= len(box) <= 7
            assert all(0 <= thing.x <= SIDE - thing.size and 0 <= thing.y <= SIDE - thing.size for thing in box)
    picture = draw(scattered(rng))
    assert (np.asarray(Image.open(io.BytesIO(encode(picture))).convert("RGB")) == np.array(PALETTE)[picture]).all()


def test_every_sentence_and_every_picture_is_as_often_true_as_false() -> None:
    for rows in albums(seed=3, pictures=1024, each=10):
        assert len(rows) > 0.9 * 512 * 10
        by_kind = Counter((row["kind"], row["label"]) for row in rows)
        assert all(by_kind[kind, "true"] == by_kind[kind, "false"] for kind, _ in by_kind)
        by_picture = Counter((row["identifier"].rsplit(".", 1)[0], row["label"]) for row in rows)
        unequal = sum(abs(by_picture[name, "true"] - by_picture[name, "false"]) for name, _ in by_picture)
        assert unequal / len(rows) < 0.1


def test_the_same_seed_makes_the_same_examples() -> None:
    first, again, other = (next(albums(seed, 64, 4)) for seed in (1, 1, 2))
    assert first == again
    assert [row["sentence"] for row in first] != [row["sentence"] for row in other]


def test_six_orders_rearrange_the_boxes_and_nothing_else() -> None:
    pixels = np.array(PALETTE, np.uint8)[draw(SCATTERED)]
    numbers, palette = numbered(pixels)
    orders = [
        np.asarray(Image.open(io.BytesIO(png(reorder(numbers, order), palette))).convert("RGB")) for order in ORDERS
    ]
    assert (orders[0] == pixels).all()
    assert len({order.tobytes() for order in orders}) == 6
    for order, moved in zip(ORDERS, orders, strict=True):
        for place, box in enumerate(order):
            assert (moved[:, place * 150 : place * 150 + SIDE] == pixels[:, box * 150 : box * 150 + SIDE]).all()
        assert (moved[:, 100:150] == pixels[:, 100:150]).all() and (moved[:, 250:300] == pixels[:, 250:300]).all()


def test_the_file_holds_made_and_real_rows(tmp_path: Path) -> None:
    image = encode(draw(TOWERS))
    table = {"identifier": "7-0-1", "sentence": "There is a tower.", "label": True, "image": image}
    source = tmp_path / "train_sample.parquet"
    pq.write_table(pa.Table.from_pylist([table]), source)
    rows = real_rows(source)
    assert [row["identifier"] for row in rows] == [f"7-0-1.{number}" for number in range(6)]
    count = write(tmp_path / "train.parquet", albums(0, 64, 4), rows, 0.1, seed=0)
    written = pq.read_table(tmp_path / "train.parquet").to_pylist()
    assert len(written) == count
    shares = Counter(row["kind"] == "real" for row in written)
    assert shares[True] / count == pytest.approx(0.1, abs=0.02)
    asked = [row for row in written if row["kind"].startswith("asked")]
    assert len(asked) == pytest.approx(64 * COUNTS, rel=0.1)
    assert write_counts(tmp_path / "train.parquet", tmp_path / "counts.parquet") == len(asked)
    assert {row["label"] for row in written if row not in asked} == {"true", "false"}


def test_no_question_tells_its_number_and_what_is_counted_is_outlined() -> None:
    rows = [row for part in albums(0, 1024, 4) for row in part]
    asked = [row for row in rows if row["kind"].startswith("asked")]
    answers = defaultdict(set)
    for row in asked:
        answers[row["sentence"]].add(row["label"])
        assert len(row["evidence"]) == int(row["label"])
        assert all(0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 for x0, y0, x1, y1 in row["evidence"])
    assert all(len(numbers) > 1 for numbers in answers.values())
    said = [row for row in rows if row not in asked]
    assert 0.5 < np.mean([row["evidence"] is not None for row in said]) < 1


def test_outlines_lie_where_things_are_drawn() -> None:
    album = Album.of([SCATTERED])
    pixels = np.array(PALETTE, np.uint8)[draw(SCATTERED)]
    (circle,) = outlines(album, album.shape("circle") & album.colour("yellow"), 0)
    left, top, right, bottom = (np.array(circle) * [400, 100, 400, 100]).round().astype(int)
    assert (left, top, right, bottom) == (180, 78, 200, 98)
    assert pixels[88, 190].tolist() != pixels[88, 176].tolist()
    assert outlines(album, album.height == 1, 0) == [[0.375, 0.0, 0.625, 1.0]]


@real
def test_drawn_pictures_are_the_real_ones_nearly_to_the_pixel() -> None:
    rows = pq.read_table(NLVR / "dev.parquet", columns=["image", "objects"]).slice(0, 200).to_pylist()
    for row in rows:
        shown = np.asarray(Image.open(io.BytesIO(row["image"])).convert("RGB")).astype(int)
        drawn = np.array(PALETTE)[draw(scene_of(row["objects"]))]
        assert np.abs(shown - drawn).mean() < 0.2  # of 255 levels


@real
def test_what_people_wrote_is_said_of_made_scenes_in_their_words() -> None:
    told = heard(NLVR / "train_sample.parquet")
    assert len(told[True]) > 400 and len(told[False]) > 450
    rows = next(albums(0, 64, 10, told))
    echoed = [row for row in rows if row["kind"] == "heard"]
    assert echoed and {row["sentence"] for row in echoed} <= {sentence.text for sentence in told[True]}


@real
def test_the_grammar_reads_the_development_sentences_and_agrees_with_their_labels() -> None:
    rows = pq.read_table(NLVR / "dev.parquet", columns=["sentence", "label", "objects"]).to_pylist()
    judged = []
    for row in rows:
        scene = scene_of(row["objects"])
        read = reading(row["sentence"], scene)
        if read is not None:
            judged.append(truth(read, scene) is row["label"])
    assert len(judged) >= 0.97 * len(rows)
    assert np.mean(judged) >= 0.99
