"""Where in a picture a text is: heat maps, boxes, and the graph of cells that they come from."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import open_autoglm
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.runtime.answers import Grounding
from open_autoglm.runtime.grounding import SIDE, boxes
from open_autoglm.runtime.model import Model

SAMPLES = Path(__file__).parent.parent / "samples"


@pytest.fixture(scope="module")
def model() -> Model:
    return open_autoglm.load()


@pytest.fixture(scope="module")
def pair() -> Image.Image:
    """A banana on the left and a shoe on the right, on grey."""
    sheet = Image.new("RGB", (800, 400), (200, 200, 200))
    for place, name in enumerate(("grocery/banana.jpg", "clothing/shoes-2.jpg")):
        sheet.paste(Image.open(SAMPLES / name).convert("RGB").resize((360, 360)), (20 + 400 * place, 20))
    return sheet


def hottest(found: Grounding) -> tuple[float, float]:
    """The share of width and of height at which a heat map is hottest."""
    row, column = np.unravel_index(found.heatmap.argmax(), found.heatmap.shape)
    return column / found.heatmap.shape[1], row / found.heatmap.shape[0]


def test_each_of_two_things_is_found_on_its_side(model: Model, pair: Image.Image) -> None:
    fruit, shoe = model.ground(pair, "a banana"), model.ground(pair, "a shoe")
    assert hottest(fruit)[0] < 0.5 < hottest(shoe)[0]
    assert fruit.boxes[0, [0, 2]].mean() < 400 < shoe.boxes[0, [0, 2]].mean()


def test_boxes_lie_in_the_picture_with_probabilities_best_first(model: Model, pair: Image.Image) -> None:
    found = model.ground(pair, "fruit")
    assert found.boxes.dtype == found.scores.dtype == found.heatmap.dtype == np.float32
    assert found.boxes.shape == (len(found.scores), 4)
    assert (found.boxes[:, :2] < found.boxes[:, 2:]).all()
    assert (found.boxes >= 0).all() and (found.boxes <= [800, 400, 800, 400]).all()
    assert (np.diff(found.scores) <= 0).all() and found.scores.min() >= 0 and found.scores.max() <= 1
    assert found.heatmap.shape == (256, 512)  # the picture's shape
    assert found.heatmap.min() >= 0 and found.heatmap.max() == pytest.approx(1, abs=0.02)


def test_what_is_not_there_has_low_scores(model: Model, pair: Image.Image) -> None:
    assert model.ground(pair, "a fire engine").scores[0] < 0.3 < model.ground(pair, "a banana").scores[0]


def test_boxes_are_of_the_upright_picture(model: Model, pair: Image.Image) -> None:
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: stored lying, shown turned by 90 degrees
    pair.transpose(Image.Transpose.ROTATE_90).save(turned, "JPEG", exif=exif, quality=95)
    wanted, found = model.ground(pair, "a shoe"), model.ground(turned.getvalue(), "a shoe")
    assert np.allclose(found.boxes[0], wanted.boxes[0], atol=40)
    assert found.heatmap.shape == wanted.heatmap.shape


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (2000, 1500)])
def test_pictures_of_any_shape_can_be_looked_at(model: Model, size: tuple[int, int]) -> None:
    found = model.ground(Image.new("RGB", size, "orange"), "an orange")
    assert (found.boxes <= [*size, *size]).all()
    assert max(found.heatmap.shape) == min(512, max(size))


def test_the_grocery_bundle_says_where_too(pair: Image.Image) -> None:
    found = open_autoglm.load("open-autoglm-grocery").ground(pair, "Banana, Banana")
    assert len(found.boxes)


@pytest.mark.parametrize("text", ["", "   ", "\N{SNOWMAN}" * 3])
def test_a_text_without_words_is_refused(model: Model, pair: Image.Image, text: str) -> None:
    with pytest.raises(TextError):
        model.ground(pair, text)


def test_what_is_no_picture_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    with pytest.raises(ImageError, match=r"notes\.txt"):
        model.ground(tmp_path / "notes.txt", "a dog")


def test_a_bundle_without_cells_says_so(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    other = open_autoglm.load()
    object.__setattr__(other.bundle.manifest, "cells", {})
    with pytest.raises(SettingError, match="cannot say where"):
        other.ground(SAMPLES / "grocery" / "banana.jpg", "a banana")


def test_boxes_are_the_connected_warm_parts_by_their_peaks() -> None:
    heat = np.zeros((SIDE, SIDE), np.float32)
    heat[4:8, 2:10], heat[30:34, 40:44], heat[33, 41] = 0.6, 0.9, 1.0
    heat[20, 20], heat[44, 3] = 0.4, 0.8  # too cold, too small
    assert boxes(heat) == [(1.0, (40, 30, 44, 34)), (pytest.approx(0.6), (2, 4, 10, 8))]


def test_a_flat_map_is_one_box_of_everything() -> None:
    assert boxes(np.ones((SIDE, SIDE), np.float32)) == [(1.0, (0, 0, SIDE, SIDE))]
