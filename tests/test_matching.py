"""Whether a text belongs to a picture: trained on close wrong pairs, and told by the bundle as the model tells it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch_parts import one_thread  # noqa: F401
from training_parts import THINGS, recipe, tiny_model

import open_autoglm
from open_autoglm.errors import ImageError, SettingError, TextError
from open_autoglm.evaluation.reranking import Candidates
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.objectives import hard_negatives, shares_key
from open_autoglm.runtime.matching import company, contrast
from open_autoglm.search import Index
from open_autoglm.training.outcome import Outcome
from open_autoglm.training.run import start, train

PAINT = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 220), "white": (250, 250, 250)}
FUSION = {
    "width": 64,
    "heads": 2,
    "layers": 1,
    "sigmoid": True,
    "dropout": 0.0,
    "proposals": {"kind": "grid", "cells": [1, 2]},
}


def draw(folder: Path) -> None:
    """Pictures of one colour each, eight of each, and a sentence that names the colour."""
    random = np.random.default_rng(0)
    rows = [["image", "caption"]]
    for number in range(32):
        shown = list(PAINT)[number % len(PAINT)]
        pixels = np.clip(np.array(PAINT[shown]) + random.integers(-9, 10, (32, 32, 3)), 0, 255).astype(np.uint8)
        (folder / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
        rows.append([f"photos/{number}.png", f"{shown} {THINGS[number // len(PAINT) % 2]}"])
    with (folder / "pairs.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    classes = [["image", "caption", "colour"], *([*row, list(PAINT)[n % 4]] for n, row in enumerate(rows[1:]))]
    with (folder / "classes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(classes)


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    table = {"path": str(folder / "classes.csv"), "label": "colour", "positives": "class"}
    return {
        "task": "match",
        "model": {"config": {"fusion": FUSION}},
        "data": {"train": table, "validation": table, "augmentation": None},
        "optimisation": {
            "learning_rate": 4e-3,
            "epochs": 45,
            "batch_size": 16,
            "frozen": ["vision.tower", "text.tower"],
            "fixed_statistics": True,
        },
        "evaluation": {"every": 45},
    } | changes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and a model to start from that was trained to align them."""
    made = tmp_path_factory.mktemp("matching")
    draw(made)
    tiny_model(made / "start")
    changes = {"learning_rate": 4e-3, "epochs": 40, "batch_size": 16, "fixed_statistics": True}
    run = start(recipe(made, data=settings(made)["data"], optimisation=changes), made / "aligning", saving=False)
    run.trainer.train()
    run.trainer.module.model.save_pretrained(made / "start")
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return train(recipe(folder, **settings(folder)))


def test_hard_negatives_are_close_and_never_share_a_label() -> None:
    torch.manual_seed(0)
    labels = torch.tensor([0, 0, 1, 2, 2, 2, -1, -1])
    positive = shares_key(labels, labels).fill_diagonal_(True)
    closeness = 4 * torch.randn(8, 8)
    drawn = torch.zeros(8, 8)
    for _ in range(300):
        rows, columns = hard_negatives(closeness, positive)
        assert rows.tolist() == list(range(8)) and not positive[rows, columns].any()
        drawn[rows, columns] += 1
    nearest = closeness.masked_fill(positive, -torch.inf).argmax(dim=1)
    assert torch.equal(drawn.argmax(dim=1), nearest)


def test_what_has_no_negative_is_left_out() -> None:
    rows, columns = hard_negatives(torch.zeros(3, 2), torch.tensor([[True, True], [True, False], [True, True]]))
    assert rows.tolist() == [1] and columns.tolist() == [1]
    rows, columns = hard_negatives(torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))
    assert len(rows) == len(columns) == 0


def test_the_second_stage_is_judged_on_what_the_first_one_found() -> None:
    scores = np.array([[0.9, 0.8, 0.1, 0.7]], np.float32)
    candidates = Candidates.best(scores, np.array([[False, True, True, False]]), 3)
    assert candidates.pictures.tolist() == [[0, 1, 3]]
    assert candidates.mean_average_precision(candidates.scores) == pytest.approx(1 / 2 / 2)
    assert candidates.mean_average_precision([[0.0, 1.0, 0.0]]) == pytest.approx(1 / 2)
    assert candidates.pairs().tolist() == [[True, True, False]]
    alike, logits = np.eye(4, dtype=np.float32), np.array([[-1.0, 1.0, -1.0]], np.float32)
    fitted = candidates.fit(logits, np.zeros(4, np.float32), alike)
    assert fitted.single.logit > abs(fitted.single.similarity) and fitted.single.company == 0
    assert candidates.mean_average_precision(fitted.odds) == pytest.approx(1 / 2)


def test_pictures_like_the_best_ones_count_as_matches_too() -> None:
    wholes = np.array([[1, 0], [0.8, 0.6], [0, 1], [0.9, 0.44]], np.float32)
    best = company(wholes, np.array([4.0, 0.0, 0.0, 0.0], np.float32))
    assert best.argsort().tolist() == [2, 1, 3, 0]
    scores = np.array([[0.9, 0.5, 0.5, 0.5], [0.5, 0.5, 0.9, 0.5]], np.float32)
    positive = np.array([[True, False, False, True], [False, False, True, False]])
    candidates = Candidates.best(scores, positive, 4)
    fitted = candidates.fit(np.zeros((2, 4), np.float32), np.zeros(4, np.float32), wholes)
    assert fitted.among.company > 0
    assert candidates.mean_average_precision(candidates.scores) < 1 == candidates.mean_average_precision(fitted.odds)


def test_what_fits_many_names_fits_each_less_surely() -> None:
    one, several = contrast(np.array([[0.5, 0.5], [0.0, 0.5], [0.0, 0.5]], np.float32))
    assert 0.5 < one < several < 0.7


def test_it_learns_to_tell_pairs_apart(outcome: Outcome) -> None:
    assert outcome.figures["accuracy"] >= 0.75  # half of the pairs are wrong ones, the closest
    assert outcome.figures["reranked_map"] >= 0.95
    assert "reranked map" in (outcome.folder / "report.html").read_text().lower().replace("_", " ")


def test_the_bundle_matches_as_the_model_does(outcome: Outcome, folder: Path) -> None:
    model = open_autoglm.load(outcome.bundle)
    photo = folder / "photos/0.png"
    texts = [f"{colour} apple" for colour in PAINT]
    chances = model.match(photo, texts)
    assert chances.shape == (4,) and chances.argmax() == 0 and chances[0] > 0.5 > chances[1:].max()
    assert model.match(photo, []).shape == (0,)

    fusion = model.fusion
    looked = fusion.look(fusion.prepare(photo))
    torch_model = OpenAutoGLM.from_pretrained(outcome.bundle).eval()
    processor = OpenAutoGLMProcessor.from_pretrained(outcome.bundle)
    batch = processor(text=texts, images=[str(photo)], return_tensors="pt")
    with torch.no_grad():
        regions = torch_model.encode_image(batch["pixel_values"], torch.from_numpy(looked.boxes)[None])
        there = torch.ones(regions.shape[:2], dtype=torch.bool)
        prepared = torch_model.fused.fusion.prepare(regions, there)
        words = torch_model.encode_text(batch["input_ids"], batch["attention_mask"])
        many = (one.expand(len(texts), *one.shape[1:]) for one in (prepared, there))
        logits = torch_model.fused.judge(*many, words, batch["attention_mask"].bool()).match
    assert np.allclose(logits.numpy(), fusion.match(looked, texts), atol=1e-3)


def test_a_search_looks_twice(outcome: Outcome, folder: Path, tmp_path: Path) -> None:
    model = open_autoglm.load(outcome.bundle)
    text = "green apple"
    with Index.create(tmp_path / "pairs.index", model) as index:
        index.add(folder / "photos")
        hits = index.search(text, k=8, cut=False, rerank=32)
        first = {hit.id: hit.score for hit in index.search(text, k=32, cut=False)}
    assert [int(Path(hit.path).stem) % 4 for hit in hits] == [1] * 8
    assert all(hit.match is not None and hit.match > 0.5 < model.match(hit.path, [text])[0] for hit in hits)
    assert all(hit.score == first[hit.id] for hit in hits)


def test_a_match_model_has_no_answers_and_says_so(outcome: Outcome, folder: Path) -> None:
    model = open_autoglm.load(outcome.bundle)
    photo = folder / "photos/0.png"
    assert model.ask(photo, "why is it here?").text is None  # asked as of its start, by alignment
    with pytest.raises(SettingError, match="was trained to match pictures and texts, and has no answers"):
        model.fusion.ask(photo, "a photo")
    with pytest.raises(SettingError, match="does not tell true from false"):
        model.fusion.verify(photo, "a photo")
    with pytest.raises(TextError, match="empty"):
        model.match(photo, [" "])
    with pytest.raises(SettingError, match="A list of texts"):
        model.match(photo, "a photo")
    with pytest.raises(ImageError):
        model.match(folder / "pairs.csv", ["a photo"])


def test_what_cannot_match_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"open-autoglm-base cannot look twice: take a bundle .* task: match"):
        open_autoglm.load("open-autoglm-base").match(folder / "photos/0.png", ["a photo"])
    unaligned = {"config": {"fusion": FUSION, "aligned": False}}
    with pytest.raises(SettingError, match="start from one that was trained to align"):
        train(recipe(folder, **settings(folder, name="odd", model=unaligned)))
    with pytest.raises(SettingError, match="has its own objective"):
        recipe(folder, **settings(folder, objective={"name": "siglip"}))
    with pytest.raises(SettingError, match="choose one of accuracy, reranked_map"):
        recipe(folder, **settings(folder, evaluation={"metric": "mean_recall"}))


def test_without_validation_the_logit_stands_alone(folder: Path, tmp_path: Path) -> None:
    data = {"train": {"path": str(folder / "pairs.csv")}, "validation_share": 0.0}
    few = {"optimisation": {"steps": 1, "batch_size": 16}, "output": {"folder": str(tmp_path)}, "evaluation": {}}
    model = open_autoglm.load(train(recipe(folder, **settings(folder, data=data, **few))).bundle)
    photo, texts = folder / "photos/0.png", ["red apple"]
    logits = model.fusion.match(model.fusion.look(model.fusion.prepare(photo)), texts)
    assert model.match(photo, texts) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)


def test_answers_go_on_from_a_decoder_that_matches(outcome: Outcome, folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "questions.csv"
    rows = [[folder / f"photos/{n}.png", "a photo", list(PAINT)[n % 4]] for n in range(16)]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["image", "question", "answer"], *rows])
    changes = {
        "task": "answer",
        "model": {"start": str(outcome.bundle)},
        "data": {"train": {"path": str(table), "answer": "answer"}, "validation_share": 0.0, "augmentation": None},
        "optimisation": {"steps": 1, "batch_size": 8},
        "output": {"folder": str(tmp_path)},
    }
    model = open_autoglm.load(train(recipe(folder, **changes)).bundle)
    assert set(model.fusion.answers) == set(PAINT) and model.bundle.manifest.fusion["proposals"]["cells"] == [1, 2]
    with pytest.raises(SettingError, match="not trained to match"):
        model.fusion.match(model.fusion.look(model.fusion.prepare(folder / "photos/0.png")), ["a photo"])
