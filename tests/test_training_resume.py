"""A training that was killed and resumed ends bit by bit where an unbroken one does; what does not fit is refused."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_parts import one_thread as one_thread
from training_parts import SIZE, prepare_folder, recipe
from training_parts import folder as folder
from transformers import TrainerCallback, ViTConfig

from open_autoglm.errors import DataError, TrainingError
from open_autoglm.training.checkpoints import checkpoints
from open_autoglm.training.log import RunLog
from open_autoglm.training.outcome import Run
from open_autoglm.training.recipe import Recipe
from open_autoglm.training.run import folder_of, start, train

SUM = [
    {"name": "queue_contrastive", "settings": {"size": 12, "distillation": 0.4}, "weight": 0.7},
    {"name": "triplet", "settings": {"warmup_steps": 4, "collapse_low": 0.5, "collapse_high": 0.9}, "weight": 0.3},
]
EVERYTHING = {
    "objective": SUM,
    "model": {"similarity": "bilinear"},
    "momentum": {"start": 0.5, "end": 0.9, "steps": 5},
    "data": {"validation_share": 0.25},
    "evaluation": {"every": 2},
    "optimisation": {"average": {"decay": 0.9, "warmup_steps": 3}, "chunk": 3, "batch_size": 6, "epochs": 3},
}
VIT = ViTConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=SIZE, patch_size=16
)


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_folder(tmp_path_factory.mktemp("vit"), vision_config=VIT, image_pooling="pooler")


class Killed(Exception):
    """The process is gone."""


class KillBefore(TrainerCallback):
    """Ends the training before a step, without a word to it."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            raise Killed


def everything(run: Run) -> dict[str, torch.Tensor]:
    """All that moves in a training: model, queue, monitor, copies, optimiser, schedule, random numbers."""
    trainer = run.trainer
    found = dict(trainer.module.state_dict())
    for number, state in trainer.optimizer.state_dict()["state"].items():
        found |= {f"optimiser.{number}.{name}": value for name, value in state.items()}
    found["rate"] = torch.tensor([group["lr"] for group in trainer.optimizer.param_groups], dtype=torch.float64)
    found["random"] = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()], dtype=torch.float64)
    return found


Ended = tuple[dict[str, torch.Tensor], Path]


def unbroken(made: Recipe, name: str) -> Ended:
    made = replace(made, name=name)
    run = start(made, folder_of(made))
    run.trainer.train()
    return everything(run), folder_of(made)


def broken(made: Recipe, name: str, at: int) -> Ended:
    """Killed before step ``at`` + 1, and gone on with from its last checkpoint by another process's objects."""
    made = replace(made, name=name)
    run = start(made, folder_of(made), callbacks=[KillBefore(at)])
    with pytest.raises(Killed):
        run.trainer.train()
    again = start(made, folder_of(made))
    again.trainer.train(resume_from_checkpoint=str(checkpoints(folder_of(made) / "checkpoints")[-1]))
    return everything(again), folder_of(made)


@pytest.mark.parametrize(("every", "at"), [(4, 5), (3, 5)], ids=["in the middle of an epoch", "between epochs"])
def test_a_resumed_run_is_the_unbroken_one_bit_by_bit(folder: Path, every: int, at: int) -> None:
    made = recipe(folder, **EVERYTHING | {"output": {"checkpoint_steps": every}})
    expected, its_folder = unbroken(made, f"whole-{every}")
    found, our_folder = broken(made, f"broken-{every}", at)
    assert expected.keys() == found.keys()
    assert {name for name in expected if not torch.equal(expected[name], found[name])} == set()
    assert bool(expected["objective.parts.queue_contrastive.queue.images"].any())
    assert int(expected["momentum.n_averaged"]) > int(expected["objective.parts.triplet.step"]) == 9
    lines = [
        [{k: v for k, v in line.items() if k not in ("seconds", "pairs_per_second")} for line in RunLog(path).lines()]
        for path in (its_folder / "log.jsonl", our_folder / "log.jsonl")
    ]
    assert lines[0] == lines[1]
    seconds = [line["seconds"] for line in RunLog(our_folder / "log.jsonl").lines() if "seconds" in line]
    assert seconds == sorted(seconds)


def test_a_tower_that_transformers_would_save_under_other_names_resumes_too(vit: Path) -> None:
    made = recipe(vit, output={"checkpoint_steps": 2})
    expected, found = unbroken(made, "whole")[0], broken(made, "broken", 3)[0]
    assert {name for name in expected if not torch.equal(expected[name], found[name])} == set()
    assert any("vision.tower" in name and "attention" in name for name in expected)


def test_accumulated_batches_resume(folder: Path) -> None:
    made = recipe(folder, optimisation={"accumulation": 2, "epochs": 3}, output={"checkpoint_steps": 3})
    expected, found = unbroken(made, "acc-whole")[0], broken(made, "acc-broken", 4)[0]
    assert {name for name in expected if not torch.equal(expected[name], found[name])} == set()


@pytest.fixture(scope="module")
def saved(folder: Path) -> Recipe:
    """A recipe with a training that was stopped after its second step."""
    made = replace(recipe(folder, output={"checkpoint_steps": 2, "keep": 1}), name="saved")
    run = start(made, folder_of(made), callbacks=[KillBefore(3)])
    with pytest.raises(Killed):
        run.trainer.train()
    return made


def test_only_so_many_checkpoints_are_kept(saved: Recipe) -> None:
    assert [path.name for path in checkpoints(folder_of(saved) / "checkpoints")] == ["checkpoint-2"]


def test_a_checkpoint_of_another_recipe_is_refused(saved: Recipe) -> None:
    other = replace(saved, optimisation=replace(saved.optimisation, learning_rate=0.5))
    with pytest.raises(TrainingError, match=r"optimisation\.learning_rate 0\.001, and the recipe has 0\.5"):
        train(other, resume=True)


def test_a_checkpoint_of_other_data_is_refused(saved: Recipe, tmp_path: Path) -> None:
    moved = prepare_folder(tmp_path, count=32)
    other = Path(saved.data.train.paths[0])
    text = other.read_text()
    try:
        other.write_text(text.replace("apple", "shoe"))
        with pytest.raises(TrainingError, match="other train pictures or captions"):
            train(saved, resume=True)
    finally:
        other.write_text(text)
    assert moved.exists()


def test_a_checkpoint_that_is_damaged_is_refused(saved: Recipe) -> None:
    identity = folder_of(saved) / "checkpoints" / "checkpoint-2" / "identity.json"
    text = identity.read_text()
    try:
        identity.write_text("{")
        with pytest.raises(TrainingError, match="no whole checkpoint"):
            train(saved, resume=True)
    finally:
        identity.write_text(text)


def test_another_order_of_the_data_is_refused(saved: Recipe) -> None:
    run = start(saved, folder_of(saved))
    run.trainer.sampler = type(run.trainer.sampler)(run.splits.train.labels, 8, seed=5)
    with pytest.raises(DataError, match="seed"):
        run.trainer._load_from_checkpoint(str(folder_of(saved) / "checkpoints" / "checkpoint-2"))


def test_a_training_is_not_started_over_another(saved: Recipe, folder: Path) -> None:
    with pytest.raises(TrainingError, match="not finished"):
        train(saved)
    with pytest.raises(TrainingError, match="no checkpoint"):
        train(replace(saved, name="new"), resume=True)


class SignalAt(TrainerCallback):
    """Sends this process a signal in the middle of a step."""

    def __init__(self, step: int, number: int) -> None:
        self.step, self.number = step, number

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(folder: Path, number: int) -> None:
    made = replace(recipe(folder), name=f"signal-{number}")
    run = start(made, folder_of(made), callbacks=[SignalAt(1, number)])
    before = signal.getsignal(number)
    run.trainer.train()
    assert run.trainer.interruption.requested
    assert [path.name for path in checkpoints(folder_of(made) / "checkpoints")] == ["checkpoint-2"]
    assert signal.getsignal(number) is before


def test_a_key_that_arrives_twice_is_pressed_once_and_later_it_stops_at_once(folder: Path) -> None:
    made = replace(recipe(folder), name="twice")
    twice = [SignalAt(1, signal.SIGINT), SignalAt(1, signal.SIGINT)]
    run = start(made, folder_of(made), callbacks=twice)
    run.trainer.train()
    assert [path.name for path in checkpoints(folder_of(made) / "checkpoints")] == ["checkpoint-2"]
    run.trainer.interruption.since -= 60
    with pytest.raises(KeyboardInterrupt):
        run.trainer.interruption.request(signal.SIGINT, None)


def test_checkpoints_come_by_the_clock(folder: Path) -> None:
    made = replace(recipe(folder, output={"checkpoint_minutes": 0.0, "keep": 9}), name="clock")
    run = start(made, folder_of(made), callbacks=[KillBefore(2)])
    with pytest.raises(Killed):
        run.trainer.train()
    assert [path.name for path in checkpoints(folder_of(made) / "checkpoints")] == ["checkpoint-1", "checkpoint-2"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk_leaves_the_last_checkpoint_whole(folder: Path, small_disk: Path) -> None:
    made = recipe(folder, output={"checkpoint_steps": 1, "folder": str(small_disk)}, optimisation={"epochs": 30})

    class Fill(TrainerCallback):
        """Leaves less room than a checkpoint takes, after the first one."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 1:
                free = os.statvfs(small_disk)
                (small_disk / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - 100_000))

    run = start(made, folder_of(made), callbacks=[Fill()])
    with pytest.raises(TrainingError, match=r"cannot be written .*checkpoint-1 is whole.*--resume"):
        run.trainer.train()
    assert [path.name for path in checkpoints(folder_of(made) / "checkpoints")] == ["checkpoint-1"]
    assert [path.name for path in (folder_of(made) / "checkpoints").iterdir()] == ["checkpoint-1"]
    (small_disk / "ballast").unlink()
    again = start(replace(made, output=replace(made.output, checkpoint_steps=None)), folder_of(made))
    again.trainer._load_from_checkpoint(str(folder_of(made) / "checkpoints" / "checkpoint-1"))
    assert json.loads((folder_of(made) / "checkpoints" / "checkpoint-1" / "trainer_state.json").read_text())
