"""Region proposals: drawings and photos, pictures with nothing in them, and boxes and settings that cannot be used."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from open_autoglm.errors import SettingError
from open_autoglm.evaluation.boxes import iou
from open_autoglm.runtime.images import decode
from open_autoglm.runtime.proposals import PROPOSERS, check_boxes, make_proposer

SAMPLES = Path(__file__).parent.parent / "samples"
NLVR = Path(__file__).parent.parent.parent / "shared" / "data" / "nlvr" / "dev.parquet"
DRAWING = {"kind": "segments", "side": 400, "scales": [0], "smallest": 0.0004, "grouped": False, "most": 32}


def drawn(shapes: list[tuple[str, tuple[int, int, int, int], str]]) -> np.ndarray:
    """Three grey boxes with shapes in them, their edges blended: drawn four times as large."""
    picture = Image.new("RGB", (1600, 400), "#808080")
    draw = ImageDraw.Draw(picture)
    for left in (0, 600, 1200):
        draw.rectangle((left, 0, left + 399, 399), fill="#d3d3d3")
    for kind, box, colour in shapes:
        x0, y0, x1, y1 = (4 * side for side in box)
        if kind == "circle":
            draw.ellipse((x0, y0, x1 - 1, y1 - 1), fill=colour)
        elif kind == "triangle":
            draw.polygon([((x0 + x1) / 2, y0), (x1 - 1, y1 - 1), (x0, y1 - 1)], fill=colour)
        else:
            draw.rectangle((x0, y0, x1 - 1, y1 - 1), fill=colour)
    return np.asarray(picture.resize((400, 100), Image.Resampling.BOX))


def test_every_shape_and_every_box_of_a_drawing_is_a_region() -> None:
    shapes = [
        ("square", (40, 80, 60, 100), "yellow"),  # a tower, one colour, a pixel apart
        ("square", (40, 59, 60, 79), "yellow"),
        ("square", (40, 38, 60, 58), "black"),
        ("circle", (0, 10, 10, 20), "#0099ff"),  # at the wall
        ("triangle", (190, 80, 220, 100), "#0099ff"),
        ("circle", (220, 80, 240, 100), "#0099ff"),  # touches its neighbour
        ("triangle", (390, 90, 400, 100), "black"),  # in the corner
        ("circle", (320, 30, 350, 60), "yellow"),
    ]
    pixels = drawn(shapes)
    boxes = make_proposer(DRAWING)(pixels) * np.array([400, 100, 400, 100])
    wanted = [box for _, box, _ in shapes] + [(0, 0, 100, 100), (150, 0, 250, 100), (300, 0, 400, 100)]
    assert iou(np.array(wanted, dtype=float), boxes).max(axis=1).min() >= 0.7
    assert len(boxes) <= len(wanted) + 2  # the two stripes between


@pytest.mark.skipif(not NLVR.exists(), reason="needs ../shared/data/nlvr")
def test_every_object_of_real_drawings_is_found() -> None:
    import pyarrow.parquet as pq

    proposer = make_proposer(DRAWING)
    found, counts = [], []
    for row in pq.read_table(NLVR, columns=["image", "objects"]).slice(0, 200).to_pylist():
        boxes = proposer(decode(row["image"])) * np.array([400, 100, 400, 100])
        wanted = np.array([(x, y, x + size, y + size) for x, y, size, *_ in json.loads(row["objects"])], dtype=float)
        found.append(iou(wanted, boxes).max(axis=1) >= 0.7)
        counts.append(len(boxes))
    assert np.concatenate(found).mean() >= 0.99
    assert np.mean(counts) <= 20


@pytest.mark.parametrize("kind", PROPOSERS)
def test_regions_of_photos_are_boxes_within_them_best_first(kind: str) -> None:
    pixels = decode(next((SAMPLES / "grocery").rglob("*.jpg")))
    boxes = make_proposer({"kind": kind, "most": 40})(pixels)
    assert boxes.dtype == np.float32 and boxes.ndim == 2 and 10 <= len(boxes) <= 40
    assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    np.testing.assert_array_equal(make_proposer({"kind": kind, "most": 5})(pixels), boxes[:5])


def test_a_thing_on_a_plain_ground_is_among_the_first_regions_of_a_photo() -> None:
    generator = np.random.default_rng(0)
    photo = Image.new("RGB", (640, 480), (120, 140, 90))
    ImageDraw.Draw(photo).ellipse((200, 100, 420, 330), fill=(190, 60, 40))
    noisy = np.clip(np.asarray(photo) + generator.normal(0, 12, (480, 640, 3)), 0, 255).astype(np.uint8)
    encoded = io.BytesIO()
    Image.fromarray(noisy).save(encoded, "JPEG", quality=80)
    boxes = make_proposer({"kind": "segments", "most": 5})(decode(encoded.getvalue()))
    assert iou(np.array([[200, 100, 420, 330]]) / np.array([640, 480, 640, 480]), boxes).max() > 0.8


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (5000, 2), (30, 40)])
@pytest.mark.parametrize("kind", PROPOSERS)
def test_an_empty_or_tiny_picture_still_has_a_region(kind: str, shape: tuple[int, int]) -> None:
    boxes = make_proposer({"kind": kind})(np.full((*shape, 3), 77, dtype=np.uint8))
    np.testing.assert_array_equal(boxes[0], [0, 0, 1, 1])


@pytest.mark.parametrize("scales", [[0], [60, 250]])
def test_a_picture_of_noise_is_no_trouble(scales: list[int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    assert len(make_proposer({"kind": "segments", "scales": scales, "most": 50})(pixels)) <= 50


def test_proposals_are_fast() -> None:
    """Time of the processor; the limits leave room for a slower machine than the 4 and 61 ms measured."""
    photo = decode(next((SAMPLES / "grocery").rglob("*.jpg")))
    photo = np.asarray(Image.fromarray(photo).resize((640, 480)))
    drawing = drawn([("circle", (30, 30, 60, 60), "yellow"), ("square", (170, 20, 190, 40), "black")])
    for settings, pixels, limit in ((DRAWING, drawing, 0.03), ({"kind": "segments"}, photo, 0.4)):
        proposer = make_proposer(settings)
        times = []
        for _ in range(3):
            start = time.process_time()
            proposer(pixels)
            times.append(time.process_time() - start)
        assert min(times) < limit


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no kind; there are grid, segments"),
        ({"kind": "segmets"}, "no kind of regions segmets; did you mean segments"),
        ({"kind": "grid", "cels": [1]}, "no setting cels; did you mean cells"),
        ({"kind": "grid", "cells": 3}, "cells 3: give a list of numbers"),
        ({"kind": "grid", "cells": [0]}, "1..32"),
        ({"kind": "grid", "most": 0}, "1..1000"),
        ({"kind": "grid", "shifted": 1}, "true or false"),
        ({"kind": "segments", "most": "many"}, "most many: give a whole number"),
        ({"kind": "segments", "side": 100_000}, "16..1024"),
        ({"kind": "segments", "scales": []}, "scales"),
        ({"kind": "segments", "overlap": float("nan")}, "overlap nan"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said.replace(".", r"\.")):
        make_proposer(settings)


def test_given_boxes_become_fractions_and_are_clipped() -> None:
    boxes = check_boxes([[0, 0, 100, 50], [-20, 10, 900, 40]], width=400, height=100)
    np.testing.assert_allclose(boxes, [[0, 0, 0.25, 0.5], [0, 0.1, 1, 0.4]], rtol=1e-6)
    assert check_boxes(np.ones((2, 4)) * [0, 0, 1, 1], 10, 10).dtype == np.float32


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ([[0, 0, 9, 9], [5, 5, 5, 9]], "Box 2 is [5, 5, 5, 9]: x1 must be above x0"),
        ([[9, 0, 0, 9]], "Box 1 is [9, 0, 0, 9]: x1 must be above x0"),
        ([[500, 0, 600, 9]], "outside the picture of 400 x 100 pixels"),
        ([[0, 0, float("nan"), 9]], "must be finite"),
        ([[0, 0, 9, 9], [0, 0, 9]], "Box 2 is [0, 0, 9]: a box is four numbers"),
        ([0, 0, 9, 9], "Box 1 is 0: a box is four numbers"),
        ([["a", 0, 9, 9]], "Box 1 is ['a', 0, 9, 9]: a box is four numbers"),
        ("boxes", "give a list of boxes"),
        (None, "give a list of boxes"),
        ([], "There are 0 boxes: give 1 to 1000"),
        ([[0, 0, 9, 9]] * 1001, "There are 1001 boxes: give 1 to 1000"),
    ],
)
def test_given_boxes_that_cannot_be_used_are_named(boxes: Any, said: str) -> None:
    with pytest.raises(SettingError) as refused:
        check_boxes(boxes, width=400, height=100)
    assert said in str(refused.value)
