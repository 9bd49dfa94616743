"""Single weights become zero: as many as asked for, little by little, and for good, through training and resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_parts import one_thread as one_thread
from training_parts import folder as folder
from training_parts import recipe

from open_autoglm.compression.pruning import Gradual, KeepPruned, prune_weights
from open_autoglm.compression.pruning.magnitude import tower_weights
from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.training.checkpoints import checkpoints
from open_autoglm.training.run import start


@pytest.fixture(scope="module")
def model(folder: Path) -> OpenAutoGLM:
    return OpenAutoGLM.from_pretrained(folder / "start").eval()


def shares(model: OpenAutoGLM) -> list[float]:
    """The share of zeros in each of the towers' matrices."""
    return [float((weight == 0).float().mean()) for weight in tower_weights(model)]


def test_the_smallest_weights_of_each_layer_or_of_all_become_zero(model: OpenAutoGLM) -> None:
    by_layer, by_all = prune_weights(model, 0.5, "layer"), prune_weights(model, 0.5, "global")
    assert shares(by_layer) == pytest.approx([0.5] * len(shares(model)), abs=0.05)
    sizes = [weight.numel() for weight in tower_weights(model)]
    everywhere = sum(share * size for share, size in zip(shares(by_all), sizes, strict=True)) / sum(sizes)
    assert everywhere == pytest.approx(0.5, abs=0.001) and max(shares(by_all)) > 0.6
    assert max(shares(model)) == 0, "the model given stays as it was"
    full, less = (torch.cat([weight.flatten() for weight in tower_weights(one)]) for one in (model, by_all))
    assert full[less == 0].abs().max() <= less[less != 0].abs().min()


def test_the_share_of_zeros_grows_fast_at_first_and_then_slower() -> None:
    schedule = Gradual(0.8, begin=10, end=110, every=10)
    found = [schedule.at(step) for step in (0, 10, 20, 29, 60, 110, 500)]
    assert found == pytest.approx([0, 0, 0.2168, 0.2168, 0.7, 0.8, 0.8])


def test_zeros_stay_through_training_and_resuming(folder: Path) -> None:
    settings = recipe(folder, name="sparse", optimisation={"epochs": 4})
    schedule = Gradual(0.6, end=6, every=2)
    first = start(settings, folder / "sparse")
    seen: list[float] = []

    class Watch(KeepPruned):
        def prune(self, step: int) -> None:
            super().prune(step)
            seen.append(total(first.trainer.module.model))

    first.trainer.add_callback(Watch(first.trainer.module.model, schedule))
    first.trainer.train()
    assert seen == sorted(seen) and seen[-1] == pytest.approx(0.6, abs=0.001) and 0 < seen[3] < 0.6
    again = start(settings, folder / "sparse")
    half = checkpoints(folder / "sparse" / "checkpoints")[0]
    again.trainer.add_callback(KeepPruned(again.trainer.module.model, schedule))
    again.trainer.train(resume_from_checkpoint=str(half))
    ends = zip(*(tower_weights(run.trainer.module.model) for run in (first, again)), strict=True)
    assert all(torch.equal(one, other) for one, other in ends)


def total(model: OpenAutoGLM) -> float:
    """The share of zeros among all of the towers' matrices."""
    return float(torch.cat([weight.flatten() for weight in tower_weights(model)]).eq(0).float().mean())


@pytest.mark.parametrize("share", [0, 1, -1, 50])
def test_a_share_that_is_none_is_refused(model: OpenAutoGLM, share: float) -> None:
    with pytest.raises(SettingError, match=rf"^The share to prune is a number between 0 and 1, and not {share}\.$"):
        prune_weights(model, share)
    with pytest.raises(SettingError, match="between 0 and 1"):
        Gradual(share)
