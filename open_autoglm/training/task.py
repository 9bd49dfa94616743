"""What a training learns to do, as the trainer sees it: how a batch is made, judged and validated.

The tasks are in ``tasks``; it knows nothing about the loop, checkpoints or files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.objectives import Result
from open_autoglm.runtime.images import Preprocessing

from .material import Splits
from .module import TrainingModule
from .recipe import ModelSettings, Recipe

Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Material:
    """Data sets of both splits, drawn from by ``Draw`` (None for a split there is not), and the collator for both."""

    splits: Splits
    train: Any
    validation: Any
    collator: Any


def blank(used: Preprocessing) -> tuple[Tensor, Tensor, Tensor]:
    """An empty picture [1, 3, h, w] with one region, the whole: its boxes [1, 1, 4] and mask [1, 1]."""
    pixels, boxes = torch.zeros(1, 3, used.height, used.width), torch.tensor([[[0.0, 0.0, 1.0, 1.0]]])
    return pixels, boxes, torch.ones(1, 1, dtype=torch.bool)


class Stepper(Protocol):
    """One pass over a batch by ``model``, which may be wrapped for several processes."""

    @property
    def model(self) -> nn.Module: ...

    def step(self, batch: Mapping[str, Any], loss_scale: float = 1.0) -> Result:
        """Adds the gradients of ``loss_scale`` x the loss to ``.grad``."""
        ...


class Task(Protocol):
    """``encoder``: the module that a batch goes through, with the ``model`` inside of it."""

    def configured(self, settings: ModelSettings, splits: Splits) -> ModelSettings:
        """The model's settings with what follows from the data."""
        ...

    def encoder(self, model: OpenAutoGLM) -> nn.Module: ...

    def objective(self, recipe: Recipe, width: int) -> nn.Module: ...

    def probe(self, encoder: nn.Module, used: Preprocessing) -> Tensor:
        """A number that depends on every parameter that the task can teach."""
        ...

    def material(
        self,
        recipe: Recipe,
        splits: Splits,
        config: OpenAutoGLMConfig,
        training: OpenAutoGLMProcessor,
        used: OpenAutoGLMProcessor,
    ) -> Material:
        """``training`` prepares the pictures that are trained on, ``used`` those that are evaluated."""
        ...

    def stepper(self, model: nn.Module, module: TrainingModule, recipe: Recipe, autocast: Autocast) -> Stepper: ...

    def validate(self, encoder: nn.Module, material: Material, recipe: Recipe) -> dict[str, float]:
        """Figures of the validation pictures, ``recipe.metric`` among them."""
        ...

    def figures(self, module: TrainingModule) -> dict[str, float]:
        """What a line of the log says besides loss and speed."""
        ...
