"""A pruned bundle is fitted on nothing that it is compared on, and says what share of its towers really went."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_parts import one_thread as one_thread
from training_parts import THINGS, tiny_model
from transformers import BertConfig

from open_autoglm.bundle import WEIGHTS, Bundle
from open_autoglm.compression import pruned_bundle
from open_autoglm.compression.bundling import make_bundle
from open_autoglm.compression.compress import Pruned
from open_autoglm.compression.int8_bundle import Checks
from open_autoglm.compression.pruned_bundle import PrunedBundles, scanned, sentences_of
from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.weights import Weights

SAMPLES = [str(path) for path in sorted((Path(__file__).parent.parent / "samples").glob("*/*.jpg"))]
BERT = BertConfig(
    vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
CHECKS = Checks(SAMPLES[:8], SAMPLES[8:10], ["a photo of a book", "blue"], ["a photo of a red apple", "black", "grey"])
MUCH = 0.7  # the picture tower has so much to take away, and the text tower has not


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("pruned")
    start = tiny_model(folder / "start", text_config=BERT)
    model, processor = OpenAutoGLM.from_pretrained(start).eval(), OpenAutoGLMProcessor.from_pretrained(start)
    return Bundle.open(make_bundle(model, processor, folder / "full", "tiny", names=[*THINGS, "Blue"]))


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[OpenAutoGLM]:
    """The models that would be written: their graphs, which take most of the time, are left out."""
    models = list[OpenAutoGLM]()
    monkeypatch.setattr(pruned_bundle, "write", lambda model, *others: models.append(model))
    return models


def pruned(full: Bundle, share: float, place: Path, checks: Checks = CHECKS, steps: int = 0) -> Pruned:
    """What came of it, written to ``place``."""
    return PrunedBundles(steps)(full, share, place, checks, lambda step: None)


def test_what_it_is_compared_on_changes_nothing_of_it(full: Bundle, tmp_path: Path, written: list[OpenAutoGLM]) -> None:
    walls = [np.full((32, 32, 3), shade, np.uint8) for shade in (0, 80, 160, 255)]
    other = replace(CHECKS, pictures=walls, sentences=[*CHECKS.sentences, "a white of green", "red"])
    for checks in (CHECKS, other):
        pruned(full, 0.4, tmp_path, checks, steps=2)
    one, two = (model.state_dict() for model in written)
    assert one.keys() == two.keys() and all(torch.equal(tensor, two[name]) for name, tensor in one.items())


def test_no_wording_of_a_name_that_it_is_compared_on_is_fitted_on(full: Bundle) -> None:
    wordings = ("{}", "a photo of a {}", "there is a {} in the picture")
    wanted = [wording.format(thing) for thing in THINGS if thing != "book" for wording in wordings]
    assert sentences_of(full, CHECKS) == [*wanted, *CHECKS.fitting]
    assert sentences_of(full, replace(CHECKS, fitting=["BLUE ", "a  photo of a Book", "red"])) == [*wanted, "red"]


def test_a_scan_measures_on_others_than_it_is_fitted_on() -> None:
    fitting, measuring = scanned(range(400), 64)
    assert (len(fitting), len(measuring)) == (64, 48) and not set(fitting) & set(measuring)
    assert max(fitting) > 380 and max(measuring) > 380
    assert scanned([7], 64) == ([7], [7]) and scanned([], 64) == ([], [])


def test_a_tower_that_stays_whole_is_named_and_not_counted(full: Bundle, tmp_path: Path) -> None:
    made = pruned(full, MUCH, tmp_path / "pruned", steps=2)
    (note,) = made.notes
    assert re.fullmatch(
        r"The text tower stays whole: Only \d+% of the parameters of text can be taken away, not 70%\.", note
    )
    before, after = (OpenAutoGLM.from_pretrained(path) for path in (full.path, tmp_path / "pruned"))
    seen = [sum(weight.numel() for weight in model.vision.tower.parameters()) for model in (before, after)]
    read = sum(weight.numel() for weight in before.text.tower.encoder.parameters())
    assert made.share == pytest.approx((seen[0] - seen[1]) / (seen[0] + read)) and made.share < MUCH
    card = (tmp_path / "pruned" / "README.md").read_text(encoding="utf-8").splitlines()[-1]
    gone = f"{1 - seen[1] / seen[0]:.0%} of vision's and 0% of text's"
    assert card == f"Pruned: {made.share:.0%} of its towers' parameters are gone ({gone})."
    had, has = (Weights(path / WEIGHTS) for path in (full.path, tmp_path / "pruned"))
    for name in had:
        if name.startswith("text."):
            assert (had.float32(name) == has.float32(name)).all(), "what is whole has nothing to learn"


def test_both_towers_by_a_share_say_it(full: Bundle, tmp_path: Path, written: list[OpenAutoGLM]) -> None:
    made = pruned(full, 0.4, tmp_path)
    assert made.notes == () and 0.4 <= made.share < 0.55


def test_without_sentences_to_fit_on_the_text_tower_stays_whole(
    full: Bundle, tmp_path: Path, written: list[OpenAutoGLM]
) -> None:
    checks = replace(CHECKS, sentences=[*THINGS, "blue"], fitting=())
    (note,) = pruned(full, 0.4, tmp_path, checks).notes
    assert note.startswith("The text tower stays whole: There are no sentences to calibrate on: give some")
    with pytest.raises(SettingError, match=r"cannot be pruned\. The vision tower stays whole: Only .* The text tower"):
        pruned(full, 0.999, tmp_path, checks)
