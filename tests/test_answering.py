"""Questions about pictures: trained with a recipe, and answered by the bundle as the model answers them."""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch_parts import one_thread  # noqa: F401
from training_parts import recipe, tiny_model

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.int8_bundle import Int8Settings
from open_autoglm.errors import BundleError, DataError, SettingError, TextError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMProcessor
from open_autoglm.modeling.attention import START, Attention
from open_autoglm.runtime.fusion import FusionAnswering
from open_autoglm.training.building import build_model
from open_autoglm.training.outcome import Outcome
from open_autoglm.training.recipe import ModelSettings
from open_autoglm.training.run import train
from open_autoglm.training.sentences import SentenceStates

PAINT = {
    "red": (220, 30, 30),
    "green": (30, 180, 40),
    "blue": (40, 60, 220),
    "white": (250, 250, 250),
}
FUSION = {"width": 64, "heads": 2, "layers": 1, "dropout": 0.0, "proposals": {"kind": "grid", "cells": [1, 2]}}


def draw(folder: Path) -> Path:
    """Pictures of one colour each, and what colour it is."""
    random = np.random.default_rng(0)
    rows = [["image", "question", "answer"]]
    for number in range(24):
        shown = list(PAINT)[number % len(PAINT)]
        name = f"{number}.png"
        pixels = np.clip(np.array(PAINT[shown]) + random.integers(-5, 6, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
        rows += [[name, "a photo", shown], [name, "photo of a cup", "no"]]
    table = folder / "questions.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return table


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "task": "answer",
        "model": {"config": {"fusion": FUSION, "aligned": False}},
        "data": {
            "train": {"path": str(folder / "questions.csv"), "answer": "answer"},
            "validation": {"path": str(folder / "questions.csv"), "answer": "answer"},
            "augmentation": None,
            "questions": 2,
        },
        "optimisation": {"learning_rate": 4e-3, "epochs": 150, "batch_size": 12},
        "evaluation": {"every": 150},
    } | changes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("answering")
    draw(made)
    tiny_model(made / "start")
    return made


@pytest.fixture(scope="module")
def outcome(folder: Path) -> Outcome:
    return train(recipe(folder, **settings(folder)))


def test_it_learns_to_answer(outcome: Outcome) -> None:
    assert outcome.figures["accuracy"] >= 0.9
    assert "accuracy" in (outcome.folder / "report.html").read_text()


def test_the_bundle_answers_as_the_model_does(outcome: Outcome, folder: Path) -> None:
    model = open_autoglm.load(outcome.bundle)
    photo = folder / "0.png"
    answer = model.ask(photo, "a photo")
    assert answer.text == "red" and answer.confidence > 0.6
    assert model.ask(photo, "a photo", ["blue", "Red"]).text == "red"
    assert answer.regions.boxes.shape == (len(answer.regions.scores), 4)
    assert (answer.regions.boxes <= 32).all() and (np.diff(answer.regions.scores) <= 0).all()
    assert answer.regions.heatmap.max() == 1

    torch_model = OpenAutoGLM.from_pretrained(outcome.bundle).eval()
    processor = OpenAutoGLMProcessor.from_pretrained(outcome.bundle)
    batch = processor(text=["a photo"], images=[str(photo)], return_tensors="pt")
    fusion = model.fusion
    looked = fusion.look(fusion.prepare(photo))
    with torch.no_grad():
        regions = torch_model.encode_image(batch["pixel_values"], torch.from_numpy(looked.boxes)[None])
        words = torch_model.encode_text(batch["input_ids"], batch["attention_mask"])
        logits = torch_model(regions, words)
    assert regions.shape == (1, len(looked.boxes), 768) and words.shape[-1] == 768
    assert np.allclose(logits.numpy(), fusion.judge(looked, ["a photo"])[0], atol=1e-4)
    assert torch_model.answers[int(logits.argmax())] == "red"


def test_a_recipe_may_ask_for_int8(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = recipe(
        folder, **settings(folder, optimisation={"epochs": 1}, output={"folder": str(tmp_path), "int8": True})
    )
    outcome = train(made)
    assert outcome.bundle is not None
    manifest = Bundle.open(outcome.bundle).manifest
    assert manifest.calibration["answers"]
    for task in ("regions", "answer"):  # so small a graph may be slower in int8
        assert ("int8" in manifest.graphs[task]) != any(
            f"The graph {task} stays in float" in one for one in outcome.notes
        )
    monkeypatch.setattr(
        "open_autoglm.training.quantising.Int8Settings", partial(Int8Settings, least_speedup=0, least_same=0)
    )
    every = train(replace(made, name="every"))
    assert every.bundle is not None and {"fp32", "int8"} == set(Bundle.open(every.bundle).manifest.graphs["answer"])
    assert open_autoglm.load(every.bundle, precision="int8").ask(folder / "0.png", "a photo").confidence > 0


def test_a_frozen_tower_reads_a_sentence_once_and_alike(outcome: Outcome) -> None:
    text = OpenAutoGLM.from_pretrained(outcome.bundle).eval().requires_grad_(False).text
    states, runs = SentenceStates(text), list[int]()
    text.tower.register_forward_hook(lambda _, inputs, output: runs.append(len(output.last_hidden_state)))
    ids = torch.tensor([[2, 3, 4], [3, 4, 0], [2, 3, 4]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1]])
    first, again = states(ids, mask), states(ids, mask)
    assert runs == [1, 1] and torch.equal(first, again)
    assert torch.allclose(first[mask.bool()], text.with_tokens(ids, mask)[1][mask.bool()], atol=1e-6)
    torch.nn.init.normal_(text.tower.get_input_embeddings().weight)
    assert not torch.allclose(states(ids, mask), first, atol=1e-3)
    text.requires_grad_(True)
    assert states(ids, mask).requires_grad


def test_what_a_start_lacks_begins_as_wide_as_its_layers_allow(folder: Path) -> None:
    fusion = {"width": 64, "heads": 2, "sigmoid": True, "answers": ["yes", "no"]}
    model, _ = build_model(ModelSettings(start=str(folder / "start"), config={"fusion": fusion}))
    for name, layer in model.fused.named_modules():
        if isinstance(layer, torch.nn.Linear):
            assert float(layer.weight.detach().std()) == pytest.approx((3 * layer.in_features) ** -0.5, rel=0.2), name
        if isinstance(layer, Attention) and layer.bias is not None:
            assert torch.equal(layer.bias, torch.full_like(layer.bias, START))


def test_a_start_of_other_sizes_is_refused_in_a_sentence(outcome: Outcome) -> None:
    wider = {**FUSION, "width": 128, "answers": list(PAINT)}
    with pytest.raises(BundleError, match=r"other sizes than model\.config asks for"):
        build_model(ModelSettings(start=str(outcome.bundle), config={"fusion": wider}))


def test_masked_regions_and_words_change_nothing(outcome: Outcome) -> None:
    model = OpenAutoGLM.from_pretrained(outcome.bundle).eval()
    regions, words = torch.randn(2, 3, 768), torch.randn(2, 4, 768)
    more = torch.cat([regions, torch.randn(2, 2, 768)], 1), torch.cat([words, torch.randn(2, 3, 768)], 1)
    masks = torch.tensor([[1, 1, 1, 0, 0]] * 2).bool(), torch.tensor([[1, 1, 1, 1, 0, 0, 0]] * 2)
    with torch.no_grad():
        assert torch.allclose(model(regions, words), model(*more, *masks), atol=1e-5)


@pytest.mark.parametrize("kind", ["attention_weighted", "gated", "concatenation", "cross_attention"])
def test_every_fusion_trains_and_ships(folder: Path, tmp_path: Path, kind: str) -> None:
    model = {
        "config": {
            "fusion": FUSION
            | {"kind": kind, "region_layers": 1, "both_ways": kind == "cross_attention", "sigmoid": True},
            "aligned": False,
        }
    }
    changes = {"output": {"folder": str(tmp_path), "log_every": 1}, "evaluation": {}}
    made = settings(folder, model=model, optimisation={"steps": 2, "learning_rate": 1e-3, "batch_size": 12}, **changes)
    bundle = train(recipe(folder, **made)).bundle
    answering = open_autoglm.load(bundle).fusion
    assert isinstance(answering, FusionAnswering)
    assert answering.ask(folder / "0.png", "a photo").confidence >= 1 / 5


def test_an_answer_that_validation_alone_has_counts_as_wrong(folder: Path, tmp_path: Path) -> None:
    odd = folder / "odd.csv"
    odd.write_text("image,question,answer\n0.png,a photo,red\n0.png,photo of a cup,perhaps\n")
    data = settings(folder)["data"] | {"validation": {"path": str(odd), "answer": "answer"}}
    made = {"optimisation": {"steps": 1, "learning_rate": 0.0, "batch_size": 12}, "evaluation": {}}
    output = {"folder": str(tmp_path)}
    outcome = train(recipe(folder, **settings(folder, data=data, output=output, **made)))
    assert outcome.figures["accuracy"] <= 0.5
    assert open_autoglm.load(outcome.bundle).fusion.answers[-1] == "perhaps"


def test_what_cannot_be_answered_is_said(outcome: Outcome, folder: Path) -> None:
    model = open_autoglm.load(outcome.bundle)
    with pytest.raises(TextError, match="empty"):
        model.ask(folder / "0.png", " ")
    with pytest.raises(SettingError, match="'maybe' is none of this model's answers"):
        model.ask(folder / "0.png", "a photo", ["maybe"])
    with pytest.raises(SettingError, match="does not tell true from false"):
        model.verify(folder / "0.png", "a photo")
    with pytest.raises(SettingError, match="no fusion decoder"):
        print(open_autoglm.load("open-autoglm-base").fusion)
    with pytest.raises(SettingError, match="did you mean layers"):
        train(recipe(folder, **settings(folder, name="odd", model={"config": {"fusion": {"layer": 2}}})))
    without = {"train": {"path": str(folder / "questions.csv")}}
    with pytest.raises(DataError, match="has no answers"):
        train(recipe(folder, **settings(folder, name="odd", data=without)))
