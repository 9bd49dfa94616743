"""What the int8 graphs of a bundle just trained are made and compared with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from data_parts import draw_folder, write_csv
from training_parts import recipe

from open_autoglm.bundle import shipped_folder
from open_autoglm.compression.int8_bundle import Checks
from open_autoglm.training import quantising
from open_autoglm.training.material import open_splits


def test_a_caption_without_a_word_that_is_known_costs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = ["a red apple", "\N{THUMBS UP SIGN}", "a green cup", "a red apple"]
    rows = [["image", "caption"], *zip(draw_folder(tmp_path, len(captions)), captions, strict=True)]
    made = recipe(tmp_path, data={"train": {"path": write_csv(tmp_path / "pictures.csv", rows)}})
    seen: list[Checks] = []

    def noting(source: object, target: object, checks: Checks, settings: object, **more: object) -> SimpleNamespace:
        seen.append(checks)
        return SimpleNamespace(notes=())

    monkeypatch.setattr(quantising, "quantise_bundle", noting)
    bundle = shipped_folder() / "open-autoglm-grocery"
    assert quantising.add_int8(bundle, open_splits(made.data, 0), 0, lambda step: None) == ()
    (checks,) = seen
    assert sorted(checks.sentences) == ["a green cup", "a red apple"]
    assert len(checks.calibration) == len(checks.pictures) == len(captions)
