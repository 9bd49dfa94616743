"""Two processes under torchrun train as one with the whole batch, through the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from training_parts import SIZE, prepare_folder, write_recipe
from transformers import BertConfig, ViTConfig

from open_autoglm.bundle import Bundle
from open_autoglm.training.reading import read_recipe
from open_autoglm.training.run import start

# Without dropout and batch normalisation, which see one process's pairs.
VIT = ViTConfig(
    hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=SIZE, patch_size=16
)
BERT = BertConfig(
    vocab_size=20, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
    max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip
OBJECTIVE = [
    {"name": "queue_contrastive", "settings": {"size": 12}},
    {"name": "siglip", "weight": 0.1},
]


def settings(batch: int) -> dict[str, Any]:
    return {"batch_size": batch, "chunk": 2, "steps": 2, "clip": 0, "weight_decay": 0.0, "epochs": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """The folders of the same training by one process and by two."""
    folder = prepare_folder(
        tmp_path_factory.mktemp("processes"), vision_config=VIT, text_config=BERT, image_pooling="pooler"
    )
    found = {count: folder / "runs" / f"by-{count}" for count in (1, 2)}
    paths = {}
    for count in found:
        changes = {"objective": OBJECTIVE, "momentum": {}, "optimisation": settings(8 // count)}
        paths[count] = write_recipe(
            folder, name=f"by-{count}", output={"checkpoint_steps": 1, "keep": 9}, **changes
        ).rename(folder / f"by-{count}.yaml")
    alone = read_recipe(paths[1])
    start(alone, found[1]).trainer.train()
    by_two(paths[2])
    return found


def by_two(path: Path) -> subprocess.CompletedProcess[str]:
    """Trains a recipe in two processes, to its end."""
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "open_autoglm"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", *launch, "train", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def gradients(run: Path, step: int) -> list[torch.Tensor]:
    """Adam's first moments: after the first step a tenth of the gradients."""
    state = torch.load(run / "checkpoints" / f"checkpoint-{step}" / "optimizer.pt", weights_only=True)["state"]
    return [state[number]["exp_avg"] for number in sorted(state)]


def test_gradients_are_those_of_one_process(runs: dict[int, Path]) -> None:
    alone, together = gradients(runs[1], 1), gradients(runs[2], 1)
    assert len(alone) == len(together) > 20
    assert all(torch.allclose(one, other, atol=1e-6, rtol=1e-4) for one, other in zip(alone, together, strict=True))
    assert sum(float(one.abs().sum()) for one in alone) > 0.1


def test_it_is_one_run_with_one_bundle(runs: dict[int, Path]) -> None:
    assert (runs[2] / "checkpoints" / "checkpoint-2" / "rng_state_1.pth").exists()
    assert len((runs[2] / "log.jsonl").read_text().splitlines()) == 2
    assert Bundle.open(runs[2] / "bundle").verify() == []


def test_statistics_of_batch_normalisation_are_saved_and_the_same_everywhere(tmp_path: Path) -> None:
    folder = prepare_folder(tmp_path)
    changes = {"optimisation": {"batch_size": 4, "steps": 2}, "data": {"validation_share": 0.25}}
    said = by_two(write_recipe(folder, **changes))
    assert "Warning" not in said.stderr
    assert said.stdout.count("Trained 2 of 2 steps") == 1
    run = folder / "runs" / "tiny"
    assert (run / "best.safetensors").exists()
    assert Bundle.open(run / "bundle").verify() == []
    before = load_file(folder / "start" / "model.safetensors")
    after = load_file(run / "bundle" / "model.safetensors")
    means = [name for name in before if name.endswith("running_mean")]
    assert means and all(not torch.equal(before[name], after[name]) for name in means)
