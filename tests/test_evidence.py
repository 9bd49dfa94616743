"""Answers that rest on chosen regions: learned from data that says which, refused where it says nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torch_parts import one_thread  # noqa: F401
from training_parts import recipe, tiny_model

import open_autoglm
from open_autoglm.data import DataSettings, open_source
from open_autoglm.data.questions import matching
from open_autoglm.errors import DataError, SettingError
from open_autoglm.modeling.fusion_settings import FusionSettings
from open_autoglm.training.outcome import Outcome
from open_autoglm.training.run import train

PAINT = {"red": (220, 30, 30), "blue": (40, 60, 220)}
ASKED = {  # each question with the cells of a grid that its answer is taught to rest on
    "a photo": [[0.0, 0.0, 0.5, 0.5], [0.0, 0.5, 0.5, 1.0]],
    "a cup": [[0.5, 0.0, 1.0, 0.5]],
    "photo of a cup": [],
}
FUSION = {"width": 64, "heads": 2, "layers": 1, "dropout": 0.0, "both_ways": True, "selects": True}
FUSION |= {"proposals": {"kind": "grid", "cells": [2]}}


def draw(folder: Path) -> Path:
    """Pictures of one colour, which two questions ask for; a third one asks for what is not there."""
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for number in range(16):
        colour = list(PAINT)[number % 2]
        pixels = np.array(PAINT[colour]) + random.integers(-5, 6, (32, 32, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
        for question, cells in ASKED.items():
            answer = colour if cells else "no"
            rows.append({"image": f"{number}.png", "question": question, "answer": answer, "evidence": cells})
    table = folder / "questions.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table)
    return table


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    folder = tmp_path_factory.mktemp("evidence")
    table = {"path": str(draw(folder)), "answer": "answer", "evidence": "evidence"}
    tiny_model(folder / "start")
    return train(recipe(folder, **changes(table)))


def changes(table: dict[str, Any]) -> dict[str, Any]:
    return {
        "task": "answer",
        "model": {"config": {"fusion": FUSION, "aligned": False}},
        "data": {"train": table, "validation": table, "augmentation": None, "questions": 3},
        "optimisation": {"learning_rate": 4e-3, "epochs": 40, "batch_size": 8},
        "evaluation": {"every": 40},
    }


def test_pictures_that_are_cut_have_no_evidence(tmp_path: Path) -> None:
    tiny_model(tmp_path / "start")
    varied = changes({"path": str(draw(tmp_path)), "answer": "answer", "evidence": "evidence"})
    del varied["data"]["augmentation"]
    with pytest.raises(SettingError, match="augmentation"):
        train(recipe(tmp_path, **varied))
    settings = next(path for path in (tmp_path / "start").glob("*processor_config.json"))
    settings.write_text(settings.read_text().replace("squash", "crop"))
    varied["data"]["augmentation"] = None
    with pytest.raises(SettingError, match="cuts them off"):
        train(recipe(tmp_path, **varied))


def test_an_answer_rests_on_the_regions_it_was_taught_to(outcome: Outcome) -> None:
    assert outcome.figures["accuracy"] >= 0.9
    model, photo = open_autoglm.load(outcome.bundle), next(outcome.folder.parent.parent.glob("0.png"))
    for question, cells in ASKED.items():
        answer = model.ask(photo, question)
        assert answer.text == ("red" if cells else "no")
        count = len(cells)
        assert answer.regions.scores[:count].sum() >= 0.8 * bool(cells) and answer.regions.scores[count:].sum() < 0.2
        assert sorted((answer.regions.boxes[:count] / 32).tolist()) == sorted(cells)


def test_regions_are_matched_by_what_they_share() -> None:
    boxes = np.array([[0, 0, 0.5, 1], [0, 0, 0.5, 0.4], [0.5, 0, 1, 1]], np.float32)
    assert matching(boxes, ((0, 0, 0.45, 1), (0.9, 0.9, 1, 1))).tolist() == [True, False, False]
    assert not matching(boxes, ()).any()


@pytest.mark.parametrize(
    ("cell", "read"),
    [
        ("", None),
        ("[]", ()),
        ("[[0, 0, 0.5, 1]]", ((0.0, 0.0, 0.5, 1.0),)),
    ],
)
def test_evidence_is_read_from_json(tmp_path: Path, cell: str, read: Any) -> None:
    record = next(iter(open_source(table(tmp_path, [cell]))))
    assert record.evidence == (read,)


@pytest.mark.parametrize("cell", ["[[0, 0, 40, 30]]", "[[0.5, 0, 0.2, 1]]", "[1, 2]", "[[0, 0, 1]]", "left", "{}x"])
def test_evidence_that_is_none_is_named(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match="its evidence"):
        open_source(table(tmp_path, [cell]))


def test_evidence_needs_answers_and_regions_that_read(tmp_path: Path) -> None:
    settings = DataSettings(str(tmp_path / "table.jsonl"), evidence="evidence")
    table(tmp_path, ["[]"])
    with pytest.raises(DataError, match="set answer"):
        open_source(settings)
    with pytest.raises(SettingError, match="both_ways"):
        FusionSettings(selects=True)


def table(folder: Path, cells: list[str]) -> DataSettings:
    Image.new("RGB", (8, 8)).save(folder / "one.png")
    rows = [
        {"image": "one.png", "question": f"q {i}", "answer": "yes", "evidence": cell} for i, cell in enumerate(cells)
    ]
    (folder / "table.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return DataSettings(str(folder / "table.jsonl"), answer="answer", evidence="evidence")
