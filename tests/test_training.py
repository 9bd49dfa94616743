"""The trainer: what learns and how fast, what is kept, and what stops it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch_parts import one_thread as one_thread
from training_parts import folder as folder
from training_parts import recipe
from transformers import TrainerCallback

from open_autoglm.data import Draw
from open_autoglm.errors import BundleError, DataError, SettingError, TrainingError
from open_autoglm.training.checkpoints import checkpoints
from open_autoglm.training.optimiser import layers_above
from open_autoglm.training.outcome import Run
from open_autoglm.training.run import folder_of, start
from open_autoglm.training.trainer import BEST, Progress


def trained(folder: Path, name: str, callbacks: Any = (), **changes: Any) -> Run:
    made = replace(recipe(folder, **changes), name=name)
    run = start(made, folder_of(made), callbacks=callbacks)
    run.trainer.train()
    return run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.trainer.module.model.state_dict().items()}


def steps(run: Run) -> list[dict[str, Any]]:
    return [line for line in run.trainer.run_log.lines() if "loss" in line]


def test_it_learns_and_tells_how(folder: Path) -> None:
    told: list[Progress] = []
    made = replace(
        recipe(
            folder, data={"augmentation": None}, optimisation={"steps": 40, "batch_size": 12, "learning_rate": 3e-3}
        ),
        name="learns",
    )
    run = start(made, folder_of(made), report=told.append)
    run.trainer.train()
    lines = steps(run)
    assert [line["step"] for line in lines] == list(range(1, 41))
    assert lines[-1]["loss"] < 0.7 * lines[0]["loss"]
    wanted = {"epoch", "lr", "temperature", "pairs_per_second", "seconds", "image_to_text_r1", "text_to_image_r1"}
    assert wanted <= set(lines[0])
    assert [moment.step for moment in told] == list(range(1, 41))
    assert told[0].steps == 40


def test_gradients_in_chunks_are_those_at_once(folder: Path) -> None:
    """With frozen towers: their batch normalisation and dropout depend on how many are encoded together."""
    runs = [
        trained(folder, f"chunk-{chunk}", optimisation={"chunk": chunk, "frozen": ["vision", "text"]})
        for chunk in (None, 3)
    ]
    losses = [[line["loss"] for line in steps(run)] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0][0] != losses[0][-1]


def test_what_is_frozen_stays_and_the_rest_moves(folder: Path) -> None:
    made = recipe(folder, optimisation={"frozen": ["vision", "text.tower.embeddings"]})
    run = start(made, folder_of(made))
    before = weights(run)
    run.trainer.train()
    after = weights(run)
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert all(name in same for name in before if name.startswith(("vision", "text.tower.embeddings")))
    assert not any(name in same for name in ("image_head.weight", "text_head.weight", "logit_scale"))
    assert {name for name in same if not name.startswith(("vision", "text"))} == set()


def test_rates_go_to_the_parts_that_they_name(folder: Path) -> None:
    made = recipe(folder, optimisation={"rates": {"text": 5e-4, "text.tower": 1e-5}, "layer_decay": 0.5})
    run = start(made, folder_of(made))
    optimiser = run.trainer.create_optimizer()
    rates = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    named = dict(run.trainer.module.learning())
    assert rates[id(named["text_head.weight"])] == 1e-3  # text is not a prefix of the name text_head
    assert rates[id(named["text.tower.encoder.layer.0.output.dense.weight"])] == 1e-5 * 0.5
    assert rates[id(named["text.tower.embeddings.word_embeddings.weight"])] == 1e-5 * 0.25
    assert rates[id(named["vision.tower.head.conv.weight"])] == 1e-3
    assert decays[id(named["text_head.weight"])] == 0.05
    assert decays[id(named["logit_scale"])] == decays[id(named["vision.tower.head.norm.weight"])] == 0.0
    assert not any("pooler" in name for name in named)  # nothing depends on it


def test_layers_are_counted_from_the_top_of_their_tower() -> None:
    names = [
        "vision.tower.stem.conv.weight",
        *(f"vision.tower.blocks.{n}.weight" for n in range(3)),
        "image_head.weight",
    ]
    assert [layers_above(name, names) for name in names] == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("fixed", [True, False])
def test_batch_norm_keeps_its_statistics_where_they_are_fixed(folder: Path, fixed: bool) -> None:
    run = trained(folder, f"statistics-{fixed}", optimisation={"fixed_statistics": fixed})
    norm = run.trainer.module.model.vision.tower.stem.norm
    assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean)) == fixed
    assert not torch.equal(norm.weight, torch.ones_like(norm.weight))


def test_the_objective_s_own_parameters_learn(folder: Path) -> None:
    run = trained(folder, "siglip", objective={"name": "siglip"}, model={"similarity": "bilinear"})
    alignment = run.trainer.module
    assert float(alignment.objective.logit_bias.detach()) != -10.0  # type: ignore[arg-type]
    assert not torch.equal(alignment.model.similarity.matrix, torch.eye(16))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"objective": {"name": "triplet", "settings": {"warmup_steps": 2}}},
        {"model": {"similarity": "euclidean"}},
        {
            "model": {"similarity": "region_word", "config": {"region_grids": [[32, 1]]}},
            "data": {"validation_share": 0.25},
        },
        {"optimisation": {"bf16": True, "chunk": 4}, "momentum": {}, "data": {"validation_share": 0.25}},
        {"optimisation": {"checkpointing": True, "chunk": 4}},
        {"optimisation": {"fixed_statistics": True}, "objective": {"settings": {"label_smoothing": 0.1}}},
        {"objective": {"name": "queue_contrastive", "settings": {"size": 8}}, "momentum": {}},
        {"data": {"workers": 1, "distinct_labels": True}},
    ],
)
def test_every_kind_of_training_runs(folder: Path, changes: dict[str, Any], request: pytest.FixtureRequest) -> None:
    run = trained(folder, request.node.callspec.id, **changes)
    lines = steps(run)
    assert len(lines) == run.trainer.state.max_steps
    assert all(torch.isfinite(torch.tensor(line["loss"])) for line in lines)


def test_the_temperature_stays_within_its_limit(folder: Path) -> None:
    run = trained(
        folder, "hot", model={"config": {"logit_scale": 100.0}}, optimisation={"learning_rate": 0.01, "steps": 2}
    )
    assert all(line["temperature"] >= 0.01 - 1e-6 for line in steps(run))


def test_the_average_is_what_is_evaluated_and_kept(folder: Path) -> None:
    run = trained(
        folder,
        "average",
        data={"validation_share": 0.25},
        optimisation={"average": {"decay": 0.9, "warmup_steps": 2}},
        evaluation={"every": 3},
    )
    alignment = run.trainer.module
    assert alignment.average is not None
    average, model = alignment.evaluated.encoder.model, alignment.model
    assert not torch.equal(average.text_head.weight, model.text_head.weight)
    best = load_file(folder_of(run.trainer.recipe) / BEST)
    evaluations = [line for line in run.trainer.run_log.lines() if "eval" in line]
    assert [line["step"] for line in evaluations] == [3, 4]
    last = evaluations[-1]["eval"]["mean_recall"] > evaluations[0]["eval"]["mean_recall"]
    assert torch.equal(best["encoder.model.text_head.weight"], average.text_head.weight) == last
    assert set(evaluations[0]["eval"]) >= {"image_to_text_r1", "text_to_image_r10", "mean_recall"}


def test_it_stops_when_nothing_gets_better(folder: Path) -> None:
    run = trained(
        folder,
        "patience",
        data={"validation_share": 0.25},
        optimisation={"learning_rate": 0.0, "steps": 20},
        evaluation={"every": 1, "patience": 3},
    )
    # The statistics of batch normalisation move even so; they cannot improve for 17 evaluations.
    assert run.trainer.state.global_step < 20
    assert run.trainer.state.global_step == run.trainer.state.best_global_step + 3


class Poison(TrainerCallback):
    """Makes a weight not a number before a step."""

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step == 2:
            model.model.text_head.weight.data[0, 0] = float("nan")


def test_a_loss_that_is_no_number_stops_and_names_the_batch(folder: Path) -> None:
    with pytest.raises(TrainingError) as error:
        trained(folder, "poisoned", [Poison()], output={"checkpoint_steps": 1, "keep": 9})
    message = str(error.value)
    assert "not a number in step 3" in message
    assert message.count("pictures.csv, row") == 8 or message.count("pictures.csv") == 8
    assert "checkpoint-2" in message
    kept = checkpoints(folder / "runs" / "poisoned" / "checkpoints")
    assert [path.name for path in kept] == ["checkpoint-1", "checkpoint-2"]
    assert all(bool(tensor.isfinite().all()) for tensor in load_file(kept[-1] / "model.safetensors").values())


class PoisonGradient(TrainerCallback):
    """Makes a gradient not a number, with a loss that is one."""

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        model.model.text_head.weight.register_hook(lambda gradient: gradient * float("nan"))


def test_a_gradient_that_is_no_number_never_reaches_the_weights(folder: Path) -> None:
    made = recipe(folder)
    run = start(made, folder_of(made), callbacks=[PoisonGradient()])
    with pytest.raises(TrainingError, match="gradient is not a number in step 1"):
        run.trainer.train()
    assert all(bool(tensor.isfinite().all()) for tensor in weights(run).values())


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"optimisation": {"frozen": ["vison"]}}, SettingError, "frozen names vison.*did you mean vision"),
        ({"optimisation": {"rates": {"heads": 1.0}}}, SettingError, "rates names heads"),
        ({"optimisation": {"batch_size": 999}}, DataError, "do not fill a batch"),
        ({"model": {"config": {"region_gird": 1}}}, SettingError, r"model\.config\.region_gird; did you mean"),
        ({"model": {"start": "/nowhere"}}, BundleError, r"model\.start"),
        ({"data": {"train": {"path": "/nowhere.csv"}}}, DataError, "nowhere"),
    ],
)
def test_what_cannot_be_trained_is_refused(folder: Path, changes: Any, kind: type[Exception], said: str) -> None:
    made = recipe(folder, **changes)
    with pytest.raises(kind, match=said):
        start(made, folder_of(made)).trainer.create_optimizer()


def test_a_model_is_made_of_two_towers(folder: Path) -> None:
    towers = {
        "vision": {"model_type": "efficientnet_lite", "width": 0.25, "depth": 0.25, "hidden_size": 64},
        "text": {
            "model_type": "bert",
            "vocab_size": 20,
            "hidden_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        "tokenizer": str(folder / "start"),
        "size": 32,
    }
    config = {"projection_dim": 16, "max_text_tokens": 16}
    made = recipe(folder, model={"start": None, "towers": towers, "config": config}, optimisation={"steps": 1})
    run = start(made, folder_of(made))
    run.trainer.train()
    assert run.trainer.module.model.config.projection_dim == 16


def test_validation_sees_pictures_in_the_size_in_use(folder: Path) -> None:
    changes: dict[str, Any] = {"model": {"picture_size": 48, "training_size": 24}, "data": {"validation_share": 0.25}}
    material = start(recipe(folder, **changes), folder / "runs" / "sizes").trainer.material
    assert material.validation is not None
    for dataset, side in ((material.train, 24), (material.validation, 48)):
        pair = dataset[Draw(0, 0)] if side == 24 else dataset[0]
        assert pair.pixels.shape == (side, side, 3)
        assert material.collator([pair])["pixel_values"].shape == (1, 3, side, side)
