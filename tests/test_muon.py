"""Muon: orthogonal steps for matrices, AdamW's for the rest, and a state that is saved whole."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch_parts import one_thread  # noqa: F401

from open_autoglm.training.muon import Muon, orthogonal


def test_steps_are_nearly_orthogonal_whatever_the_gradient_s_scale() -> None:
    torch.manual_seed(0)
    for shape in ((3, 16, 16), (2, 40, 8), (2, 8, 40)):
        wild = torch.randn(shape) @ torch.diag(torch.logspace(-2, 3, shape[-1]))
        values = torch.linalg.svdvals(orthogonal(wild))
        kept = values[:, : min(shape[1:]) // 2]  # the smallest of a wide range stay smaller
        assert (kept > 0.5).all() and (values < 1.3).all()
        assert torch.allclose(orthogonal(wild * 1000), orthogonal(wild), atol=1e-4)


def groups(model: nn.Module) -> list[dict[str, object]]:
    named = dict(model.named_parameters())
    matrices = [one for one in named.values() if one.ndim == 2]
    rest = [one for one in named.values() if one.ndim != 2]
    return [
        {"params": matrices, "lr": 0.01, "weight_decay": 0.0, "orthogonal": True},
        {"params": rest, "lr": 0.01, "weight_decay": 0.0, "orthogonal": False},
    ]


def test_it_learns() -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 8)
    wanted = inputs[:, :1] * inputs[:, 1:2]
    model = nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 1))
    optimiser, losses = Muon(groups(model)), list[float]()
    for _ in range(300):
        loss = nn.functional.mse_loss(model(inputs), wanted)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 10


def test_a_saved_state_goes_on_bit_for_bit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4))
    optimiser = Muon(groups(model))

    def step(model: nn.Module, optimiser: Muon) -> None:
        optimiser.zero_grad()
        model(torch.eye(4)).square().sum().backward()
        optimiser.step()

    step(model, optimiser)
    again = copy.deepcopy(model)
    other = Muon(groups(again))
    other.load_state_dict(copy.deepcopy(optimiser.state_dict()))
    for _ in range(3):
        step(model, optimiser)
        step(again, other)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))
    assert len(optimiser.param_groups) == 2
