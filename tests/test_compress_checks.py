"""What a smaller bundle is compared on is kept apart from what it is fitted on, and fits into memory."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from torch_parts import one_thread as one_thread

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.checking import FEW, checks_of, names
from open_autoglm.compression.compress import Pruned, compress
from open_autoglm.compression.graph_inputs import answer_inputs
from open_autoglm.compression.int8_bundle import Checks, Report
from open_autoglm.compression.pruned_bundle import sentences_of
from open_autoglm.compression.sentences import SENTENCES
from open_autoglm.compression.wish import Wish
from open_autoglm.runtime.engine import Engine

MODELS = Path(__file__).parent.parent / "models"
SAMPLES = [str(path) for path in sorted((Path(__file__).parent.parent / "samples" / "grocery").glob("*.jpg"))]
QUERIES = [f"{count} bottles of {what}" for count in ("two", "three", "four") for what in ("milk", "juice", "water")]


@pytest.fixture(scope="module")
def grocery() -> Bundle:
    return Bundle.open(MODELS / "open-autoglm-grocery")


def test_of_sentences_as_of_pictures_every_fourth_is_compared_on_and_the_others_are_fitted_on(grocery: Bundle) -> None:
    given = [*QUERIES[:4], QUERIES[0].upper(), f" {QUERIES[1]}", *QUERIES[4:]]
    checks, said = checks_of(grocery, SAMPLES[:9], given, pruning=True)
    assert [len(part) for part in (checks.calibration, checks.pictures)] == [6, 3] and not said
    compared, fitted = (
        {" ".join(one.split()).casefold() for one in part} for part in (checks.sentences, checks.fitting)
    )
    assert (len(compared), len(fitted)) == (3, 6) and compared | fitted == set(QUERIES)


def test_where_nothing_is_fitted_on_sentences_all_are_compared_on(grocery: Bundle) -> None:
    checks, said = checks_of(grocery, SAMPLES[:8], QUERIES)
    assert (checks.sentences, checks.fitting, said) == (QUERIES, (), [])


def test_too_few_sentences_are_all_compared_on_and_that_is_said(grocery: Bundle) -> None:
    checks, said = checks_of(grocery, SAMPLES[:8], [*QUERIES[:7], QUERIES[0]], pruning=True)
    assert (len(checks.sentences), list(checks.fitting), said) == (7, [], [FEW])
    assert checks_of(grocery, SAMPLES[:8], QUERIES[:7])[1] == []


def test_of_its_own_names_every_fourth_is_compared_on_and_the_others_are_fitted_on(grocery: Bundle) -> None:
    known = names(grocery)
    checks, said = checks_of(grocery, SAMPLES[:8], pruning=True)
    assert set(checks.sentences) - set(SENTENCES) == set(known[::4]) and not said
    fitted = sentences_of(grocery, checks)
    assert len(fitted) == 3 * (len(known) - len(known[::4]))
    assert {f"a photo of a {name}" for name in known if name not in known[::4]} <= set(fitted)


def test_a_picture_asked_about_is_held_once_and_answered_as_when_asked_alone() -> None:
    model = open_autoglm.load(MODELS / "open-autoglm-nlvr")
    pictures = [blocks(seed) for seed in (0, 1)]
    asked = [f"There are {count} yellow blocks." for count in ("one", "two", "three")] * 80
    looks = [model.fusion.look(model.fusion.prepare(picture)) for picture in pictures]
    tracemalloc.start()
    try:
        inputs = answer_inputs(model, pictures, asked)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < len(asked) * sum(look.prepared.nbytes for look in looks) / 4
    engine = Engine(model.bundle, model.bundle.graph("answer", "fp32"))
    got = np.concatenate([engine.outputs(["answers"], **one)[0] for one in inputs])
    wanted = np.concatenate([model.fusion.judge(look, asked)[0] for look in looks])
    assert np.allclose(got, wanted, atol=1e-4)


def blocks(seed: int) -> np.ndarray:
    """A picture of a dozen blocks of many colours, apart from each other."""
    pixels = np.full((100, 400, 3), 220, np.uint8)
    for place, colour in enumerate(np.random.default_rng(seed).integers(0, 200, (12, 3))):
        top, left = 10 + 45 * (place // 6), 15 + 65 * (place % 6)
        pixels[top : top + 30, left : left + 35] = colour
    return pixels


def test_a_row_says_the_share_that_went_and_what_stays_whole_is_noted(tmp_path: Path) -> None:
    source = Bundle.open(MODELS / "open-autoglm-nlvr")

    def prune(source: Bundle, share: float, place: Path, checks: Checks, report: Report) -> Pruned:
        shutil.copytree(source.path, place)
        return Pruned(0.27, ("The text tower stays whole.",))

    checks = Checks(SAMPLES[:2], SAMPLES[2:4], ["There is a yellow block."])
    made = compress(source, tmp_path / "small", checks, Wish(0.9), shares=[0.86], prune=prune, keep_float=True)
    assert {row.pruned for row in made.rows} == {0.0, 0.27} and "The text tower stays whole." in made.notes
