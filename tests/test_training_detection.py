"""A detector trained on boxes: it learns drawn pictures, goes on where it stopped, and says what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageDraw
from torch_parts import one_thread as one_thread
from training_parts import tiny_model
from typer.testing import CliRunner, Result

import open_autoglm
from open_autoglm.cli import app
from open_autoglm.data import BoxSettings, open_boxes
from open_autoglm.errors import BundleError, DataError, SettingError, TrainingError
from open_autoglm.evaluation.boxes import box_recall, iou
from open_autoglm.modeling.detection import from_checkpoint, load_detector
from open_autoglm.runtime.images import decode
from open_autoglm.runtime.proposals import Detected, make_proposer
from open_autoglm.training.detection import mirrored, picks, train_detector
from open_autoglm.training.detection_building import build_detector
from open_autoglm.training.detection_recipe import (
    DetectionData,
    DetectionOptimisation,
    DetectionOutput,
    DetectorRecipe,
    DetectorSettings,
)
from open_autoglm.training.reading import build, plain

RECIPES = Path(__file__).parent.parent / "recipes"
COLOURS = {"red": "#c02020", "blue": "#2040d0"}


def table(folder: Path, pictures: int = 8) -> Path:
    """A JSONL table of drawn pictures, 64 x 64 pixels, with two blocks each."""
    generator = np.random.default_rng(0)
    lines = []
    for number in range(pictures):
        picture = Image.new("RGB", (64, 64), "#d3d3d3")
        boxes: list[list[Any]] = []
        for left, colour in ((0, "red"), (32, "blue")):
            width, height = (int(side) for side in generator.integers(16, 30, 2))
            x, y = left + int(generator.integers(0, 32 - width)), int(generator.integers(0, 64 - height))
            ImageDraw.Draw(picture).rectangle((x, y, x + width - 1, y + height - 1), fill=COLOURS[colour])
            boxes.append([colour, x, y, x + width, y + height])
        picture.save(folder / f"{number}.png")
        lines.append(json.dumps({"image": f"{number}.png", "boxes": boxes}))
    (folder / "boxes.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder / "boxes.jsonl"


def recipe(folder: Path, steps: int, **changes: Any) -> DetectorRecipe:
    data = BoxSettings(str(table(folder)))
    return replace(
        DetectorRecipe(
            name="blocks",
            data=DetectionData(train=data, validation=data, flip=False),
            model=DetectorSettings(
                picture_size=(64, 64), channels=(16, 16, 32, 32), width=32, layers=2, queries=8, stride=4
            ),
            optimisation=DetectionOptimisation(steps=steps, batch_size=8, learning_rate=2e-3),
            output=DetectionOutput(folder=str(folder / "runs"), measure_every=steps, checkpoint_steps=steps),
        ),
        **changes,
    )


def test_it_learns_eight_pictures_and_becomes_a_proposer(tmp_path: Path) -> None:
    outcome = train_detector(recipe(tmp_path, steps=160))
    assert outcome.figures["recall_50"] >= 0.85
    assert outcome.detector is not None
    detector = load_detector(outcome.detector)
    pictures = open_boxes(BoxSettings(str(tmp_path / "boxes.jsonl")))
    found = [detector(pictures.pixels(number)) for number in range(8)]
    assert box_recall(found, [one.boxes for one in pictures.pictures]) >= 0.85
    with pytest.raises(TrainingError, match="is finished and has its detector"):
        train_detector(recipe(tmp_path, steps=160))


def test_a_resumed_training_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    straight = recipe(tmp_path, steps=4)
    whole = train_detector(straight).detector
    halves = recipe(tmp_path / "other", steps=4)

    def interrupt(line: Mapping[str, float]) -> None:
        if line["step"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    halves = replace(halves, output=replace(halves.output, log_every=1))
    stopped = train_detector(halves, report=interrupt)
    assert stopped.step == 2 and stopped.detector is None
    with pytest.raises(TrainingError, match="was not finished"):
        train_detector(halves)
    with pytest.raises(TrainingError, match=r"optimisation\.batch_size"):
        train_detector(replace(halves, optimisation=replace(halves.optimisation, batch_size=4)), resume=True)
    resumed = train_detector(halves, resume=True).detector
    assert whole is not None and resumed is not None
    ours, theirs = (load_detector(folder).model.state_dict() for folder in (whole, resumed))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    steps = [json.loads(line)["step"] for line in (resumed.parent / "log.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 4]


def test_classes_are_told_apart_where_asked(tmp_path: Path) -> None:
    asked = recipe(tmp_path, steps=1)
    outcome = train_detector(replace(asked, data=replace(asked.data, classes=True, flip=True)))
    assert outcome.detector is not None
    assert load_detector(outcome.detector).model.config.id2label == {0: "blue", 1: "red"}
    further = replace(asked, name="further", model=DetectorSettings(start=str(outcome.detector)))
    again = train_detector(further)  # one class now: the scores start at random, the rest goes on
    assert again.detector is not None
    assert load_detector(again.detector).model.config.id2label == {0: "thing"}


def test_every_picture_is_seen_once_an_epoch() -> None:
    settings = DetectionOptimisation(batch_size=3)
    seen = [number for step in range(8) for number, _ in picks(6, step, settings)]
    assert all(sorted(seen[start : start + 6]) == list(range(6)) for start in range(0, 24, 6))
    assert seen[:6] != seen[6:12]


def test_boxes_stay_on_their_things_when_a_picture_is_mirrored(tmp_path: Path) -> None:
    pictures = open_boxes(BoxSettings(str(table(tmp_path, pictures=1))))
    pixels, boxes = mirrored(pictures.pixels(0), pictures.pictures[0].boxes)
    for (x0, y0, x1, y1), name in zip((boxes * 64).round().astype(int), pictures.pictures[0].categories, strict=True):
        assert (pixels[y0:y1, x0:x1] == [int(COLOURS[name][place : place + 2], 16) for place in (1, 3, 5)]).all()


def test_the_recipe_reads_as_it_is() -> None:
    read = build(DetectorRecipe, yaml.safe_load((RECIPES / "detector.yaml").read_text(encoding="utf-8")), "")
    assert read.model == DetectorSettings() and read.data.train.boxes == "boxes"


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("[[", "no JSON"),
        (7, "no list"),
        ([["red", 5, 5, 2, 9]], "Box 1 is [5, 5, 2, 9]: x1 must be above x0"),
        ([["red", 500, 0, 900, 9]], "outside the picture"),
        ([["red", 1, 2]], "a box is four numbers"),
    ],
)
def test_rows_with_boxes_that_cannot_be_used_are_skipped_and_named(cell: Any, said: str, tmp_path: Path) -> None:
    path = table(tmp_path, pictures=3)
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps({"image": "0.png", "boxes": cell}))
        file.write("\n" + json.dumps({"image": "1.png", "boxes": []}))
    read = open_boxes(BoxSettings(str(path), max_bad_share=0.5))
    assert len(read.pictures) == 4 and len(read.problems) == 1
    assert said in read.problems[0].reason and "4" in read.problems[0].where
    assert read.classes == ("blue", "red") and read.pictures[-1].boxes.shape == (0, 4)
    with pytest.raises(DataError, match="max_bad_share"):
        open_boxes(BoxSettings(str(path)))


def test_data_without_boxes_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, pictures=1)
    with pytest.raises(DataError, match="no column 'regions'"):
        open_boxes(BoxSettings(str(path), boxes="regions"))
    path.write_text(json.dumps({"image": "0.png", "boxes": []}), encoding="utf-8")
    with pytest.raises(DataError, match="no picture with a box"):
        open_boxes(BoxSettings(str(path)))


def test_overlaps_are_what_they_are_drawn_to_be() -> None:
    one, other = np.array([[0, 0, 2, 2], [5, 5, 5, 5]]), np.array([[1, 0, 3, 2], [0, 0, 2, 2], [9, 9, 10, 10]])
    np.testing.assert_allclose(iou(one, other), [[1 / 3, 1, 0], [0, 0, 0]])
    assert box_recall([other, np.zeros((0, 4))], [one[:1], one[:1]]) == 0.5


def autoglm(*words: object) -> Result:
    return CliRunner().invoke(app, ["train", *(str(word) for word in words)])


def written(folder: Path, steps: int) -> Path:
    """The recipe as a file."""
    path = folder / "blocks.yaml"
    path.write_text(yaml.safe_dump(plain(asdict(recipe(folder, steps))), sort_keys=False), encoding="utf-8")
    return path


def test_the_command_trains_a_detector_and_a_bundle_carries_it(tmp_path: Path) -> None:
    path = written(tmp_path, steps=60)
    trained = autoglm(path, "--json", "--set", "output.log_every=30", "--set", "model.layers=1")
    assert trained.exit_code == 0, (trained.stderr, trained.exception)
    assert "train: 8 pictures, 16 boxes, 2 classes" in trained.stderr and "task: detect" in trained.stderr
    assert "step 60 of 60, validation: recall 50" in trained.stderr and "pictures/s" in trained.stderr
    outcome = json.loads(trained.stdout)
    assert (outcome["step"], outcome["steps"], outcome["stopped"]) == (60, 60, False)
    again = autoglm(path)
    assert again.exit_code == 2 and "is finished and has its detector" in again.stderr

    rows = [["image", "question", "answer"], *([f"{n}.png", "a photo", "red"] for n in range(8))]
    (tmp_path / "questions.csv").write_text("\n".join(",".join(row) for row in rows), encoding="utf-8")
    tiny_model(tmp_path / "start")
    proposals = {"kind": "detector", "source": outcome["detector"], "threshold": 0.1, "overlap": 0.5, "most": 6}
    fusion = {"width": 32, "heads": 2, "layers": 1, "proposals": proposals}
    answering = {
        "task": "answer",
        "model": {"start": str(tmp_path / "start"), "config": {"fusion": fusion, "aligned": False}},
        "data": {
            "train": {"path": str(tmp_path / "questions.csv"), "answer": "answer"},
            "validation_share": 0,
            "augmentation": None,
        },
        "optimisation": {"steps": 2, "batch_size": 4},
        "output": {"folder": str(tmp_path / "runs")},
    }
    (tmp_path / "asks.yaml").write_text(yaml.safe_dump(answering), encoding="utf-8")
    asked = autoglm(tmp_path / "asks.yaml", "--json")
    assert asked.exit_code == 0, (asked.stderr, asked.exception)
    bundle = json.loads(asked.stdout)["bundle"]
    model = open_autoglm.load(bundle)
    detector = load_detector(outcome["detector"], threshold=0.1, overlap=0.5, most=6)
    shutil.rmtree(outcome["folder"])  # the bundle needs nothing of the detector's run
    for number in range(8):
        pixels = decode(tmp_path / f"{number}.png")
        np.testing.assert_allclose(model.fusion.propose(pixels), detector(pixels), atol=1e-3)
    assert model.bundle.manifest.graphs["detect"]["fp32"].parity["max_difference"] < 1e-3
    assert "source" not in model.bundle.manifest.fusion["proposals"]
    with Image.open(tmp_path / "0.png") as photo:
        answer = model.ask(photo, "a photo")
    assert 1 <= len(answer.regions.boxes) <= 6 and answer.text == "red"
    assert not model.bundle.verify()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "detector"}, "no source"),
        ({"kind": "detector", "source": 3}, "give text"),
        ({"kind": "detector", "source": "x", "most": 0}, r"1\.\.1000"),
        ({"kind": "detector", "source": "x", "limit": 3}, "no setting limit"),
    ],
)
def test_proposals_of_a_detector_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        make_proposer(settings, from_checkpoint)
    with pytest.raises(SettingError, match="cannot be had here"):
        make_proposer({"kind": "detector", "source": "x"})
    with pytest.raises(BundleError, match="cannot be loaded"):
        from_checkpoint(Detected("runs/no/such/detector"))


def test_a_detector_that_a_bundle_cannot_carry_is_refused_before_the_training(tmp_path: Path) -> None:
    model, processor = build_detector(DetectorSettings(picture_size=(64, 64), width=32, queries=8), ("thing",))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    model.save_pretrained(tmp_path / "blank")
    processor.save_pretrained(tmp_path / "blank")
    with pytest.raises(BundleError, match="all places of a picture for alike"):
        from_checkpoint(Detected(str(tmp_path / "blank")))
    facts = json.loads((tmp_path / "blank" / "preprocessor_config.json").read_text())
    facts["size"] = {"shortest_edge": 64, "longest_edge": 128}
    (tmp_path / "blank" / "preprocessor_config.json").write_text(json.dumps(facts))
    with pytest.raises(BundleError, match="resizes to a height and width"):
        from_checkpoint(Detected(str(tmp_path / "blank")))


def test_a_detectors_recipe_is_read_with_care(tmp_path: Path) -> None:
    path = written(tmp_path, steps=2)
    for words, said in (
        (["--check"], "not at boxes"),
        (["--set", "model.start=7"], "model.start is 7"),
        (["--set", "optimisation.epochs=2"], "no setting optimisation.epochs"),
        (["--set", "data.train.path=gone.jsonl"], "gone.jsonl"),
        (["--resume"], "start without --resume"),
    ):
        result = autoglm(path, *words)
        assert result.exit_code == 2 and said in result.stderr.splitlines()[-1], (words, result.stderr)
    asked = autoglm(path, "--to", tmp_path / "elsewhere")
    assert asked.exit_code == 0 and f"source: {tmp_path}/elsewhere/blocks/detector" in asked.stdout
