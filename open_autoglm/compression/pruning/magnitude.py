"""Unstructured pruning: the smallest weights become zero, at once or little by little, and stay so while others learn.

It knows weights and a Trainer's steps; it knows nothing about what is learned.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM

from .shares import checked_share

Scope = Literal["layer", "global"]


@dataclass(frozen=True)
class Gradual:
    """How the share of zeros grows: from step ``begin`` to ``end`` to ``share``, anew every ``every`` steps.

    Fast at first and slower towards the end, by a cubic (Zhu & Gupta, arXiv 1710.01878).
    """

    share: float
    begin: int = 0
    end: int = 1000
    every: int = 10

    def __post_init__(self) -> None:
        checked_share(self.share)
        if not 0 <= self.begin < self.end or self.every < 1:
            raise SettingError("A gradual pruning begins before its end, and prunes every step or every few.")

    def at(self, step: int) -> float:
        """The share of zeros after a step, which changes every ``every`` steps only."""
        if step >= self.end:
            return self.share
        done = max(0, step - self.begin) // self.every * self.every / (self.end - self.begin)
        return self.share * (1 - (1 - done) ** 3)


@torch.no_grad()
def prune_weights(model: OpenAutoGLM, share: float, scope: Scope = "global") -> OpenAutoGLM:
    """A copy of the model in which ``share`` of the towers' weights are zero: of each layer, or of all layers together.

    Weights are the matrices of dense layers and convolutions. SettingError for a share outside of 0 to 1.
    """
    checked_share(share)
    pruned = copy.deepcopy(model)
    zero_smallest(tower_weights(pruned), share, scope)
    return pruned


def tower_weights(model: OpenAutoGLM) -> list[Tensor]:
    """The weights of both towers that may become zero. SettingError for a model without any."""
    kinds = (nn.Linear, nn.Conv2d)
    towers = (model.vision.tower, model.text.tower)
    found = [part.weight for tower in towers for part in tower.modules() if isinstance(part, kinds)]
    if not found:
        raise SettingError("The model's towers have no dense layers or convolutions whose weights could go.")
    return found


@torch.no_grad()
def zero_smallest(weights: list[Tensor], share: float, scope: Scope) -> None:
    """Sets the smallest to zero."""
    if scope == "global":
        limits = [smallest(torch.cat([weight.abs().flatten() for weight in weights]), share)] * len(weights)
    else:
        limits = [smallest(weight.abs().flatten(), share) for weight in weights]
    for weight, limit in zip(weights, limits, strict=True):
        weight.mul_(weight.abs() > limit)


def smallest(sizes: Tensor, share: float) -> Tensor:
    """The size up to which ``share`` of them lie."""
    count = round(share * len(sizes))
    return sizes.kthvalue(count).values if count else sizes.new_tensor(-1.0)


class Zeros:
    """Which of ``weights`` are zero now, so that they can be made so again."""

    def __init__(self, weights: list[Tensor]) -> None:
        self.weights = weights
        self.masks = [weight != 0 for weight in weights]

    @torch.no_grad()
    def keep(self) -> None:
        """Sets to zero what was."""
        for weight, mask in zip(self.weights, self.masks, strict=True):
            weight.mul_(mask)


class KeepPruned(TrainerCallback):
    """Prunes while a Trainer trains, and keeps what is zero at zero after every step of the optimiser.

    What is pruned follows from the weights and the step alone, so a training that resumes goes on as it was.
    """

    def __init__(self, model: OpenAutoGLM, schedule: Gradual, scope: Scope = "global") -> None:
        self.weights, self.schedule, self.scope = tower_weights(model), schedule, scope
        self.share, self.zeros = 0.0, Zeros(self.weights)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.zeros = Zeros(self.weights)  # a checkpoint's, where it goes on from one
        self.prune(state.global_step)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.prune(state.global_step + 1)

    def prune(self, step: int) -> None:
        """Prunes to the schedule's share after a step."""
        self.zeros.keep()
        share = self.schedule.at(step)
        if share > self.share:
            zero_smallest(self.weights, share, self.scope)
            self.share, self.zeros = share, Zeros(self.weights)
