"""Cached gradients are those of the plain large batch, with dropout, for every objective."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_objectives_pairs import CASES, LABELS, Towers, encode, gradients, parts_of, random_batch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_parts import one_thread as one_thread

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Cosine, Features
from open_autoglm.objectives import Contrastive, GradCache, Pairs, Step, concatenate
from open_autoglm.objectives.gradcache import split

CHUNK = 4


def encode_in_chunks(model: nn.Module, batch: Any) -> Pairs:
    """All pairs with gradients at once; drawn a chunk at a time, so that dropout falls as it does for GradCache."""
    return concatenate([encode(model, part) for part in split(batch, CHUNK)])


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_plain_step(case: str) -> None:
    plain = Step(**parts_of(case) | {"encode": encode_in_chunks})
    cached = GradCache(**parts_of(case), chunk=CHUNK)
    for number in range(3):  # the queue fills, the margin rises
        batch = random_batch(LABELS + number, seed=number)
        results = []
        for step in (plain, cached):
            torch.manual_seed(number)
            results.append(step.step(batch, loss_scale=0.5))
            if step.momentum is not None:
                step.momentum.update_parameters(step.model)
        assert torch.allclose(results[0].loss, results[1].loss, atol=1e-10)
        assert results[0].figures.keys() == results[1].figures.keys()
        assert not results[1].loss.requires_grad
    expected, found = gradients(plain), gradients(cached)
    assert expected.keys() == found.keys()
    assert all(torch.allclose(found[name], value, atol=1e-10) for name, value in expected.items())
    assert sum(value.abs().sum() for value in found.values()) > 0
    states = [step.objective.state_dict() for step in (plain, cached)]  # type: ignore[attr-defined]
    assert all(torch.allclose(value, states[1][name]) for name, value in states[0].items())


def test_the_temperature_the_bias_and_the_matrix_get_their_gradients() -> None:
    for case, name in [
        ("contrastive", "model.logit_scale"),
        ("siglip", "objective.logit_bias"),
        ("contrastive-bilinear", "similarity.matrix"),
    ]:
        step = GradCache(**parts_of(case), chunk=CHUNK)
        step.step(random_batch())
        assert gradients(step)[name].abs().sum() > 0


def test_in_float32_a_batch_of_1024_is_the_same_to_1e_5() -> None:
    labels = torch.arange(1024) // 2
    found = []
    for kind in (Step, GradCache):
        parts = parts_of("contrastive", dropout=0.0)
        parts["model"].float()
        batch = {
            key: value.float() if value.is_floating_point() else value for key, value in random_batch(labels).items()
        }
        step = kind(**parts) if kind is Step else GradCache(**parts, chunk=64)
        step.step(batch)
        found.append(gradients(step))
    assert all(torch.allclose(found[1][name], value, atol=1e-5) for name, value in found[0].items())


def test_random_numbers_go_on_as_after_one_pass() -> None:
    after = []
    for kind in (Step, GradCache):
        parts = parts_of("contrastive")
        step = GradCache(**parts, chunk=CHUNK) if kind is GradCache else Step(**parts | {"encode": encode_in_chunks})
        torch.manual_seed(3)
        step.step(random_batch())
        after.append(torch.rand(3))
    assert torch.equal(after[0], after[1])


def test_at_most_a_chunk_is_encoded_with_gradients_at_a_time() -> None:
    parts, seen = parts_of("contrastive"), []
    parts["model"].image.register_forward_hook(lambda _module, given, _out: seen.append(len(given[0])))
    GradCache(**parts, chunk=CHUNK).step(random_batch())
    assert seen == [4, 4, 2, 4, 2], "the first chunk is encoded once"
    seen.clear()
    GradCache(**parts, chunk=100).step(random_batch())
    assert seen == [10], "a batch that fits is not encoded twice"


class Normalised(nn.Module):
    """A picture tower with batch normalisation and a frozen text tower."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8))
        self.text = nn.Linear(4, 8).requires_grad_(False)
        self.logit_scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, image: Tensor, text: Tensor) -> Pairs:
        sides = (self.image(image), self.text(text))
        return Pairs(*(Features(F.normalize(side, dim=1)) for side in sides), torch.arange(len(image)))


def test_running_statistics_are_taken_in_once_and_a_frozen_tower_stays() -> None:
    torch.manual_seed(0)
    model, twin = Normalised(), Normalised()
    twin.load_state_dict(model.state_dict())
    batch = {"image": torch.randn(8, 5), "text": torch.randn(8, 4)}
    GradCache(model, lambda owner, part: owner(**part), Contrastive(), Cosine(), model.logit_scale, chunk=4).step(batch)
    for part in split(batch, 4):
        twin(**part)
    assert torch.equal(model.image[1].running_mean, twin.image[1].running_mean)
    assert torch.equal(model.image[1].num_batches_tracked, twin.image[1].num_batches_tracked)
    assert model.text.weight.grad is None and model.image[0].weight.grad is not None


def test_a_triplet_loss_leaves_a_zero_gradient_for_the_temperature() -> None:
    """DDP waits for a gradient of every parameter."""
    step = Step(**parts_of("triplet-hard"))
    step.step(random_batch())
    assert isinstance(step.model, Towers) and step.model.logit_scale.grad is not None


def test_a_chunk_of_nothing_is_refused() -> None:
    with pytest.raises(SettingError, match="at least one"):
        GradCache(**parts_of("contrastive"), chunk=0)
