"""The momentum target encoder: an exponential moving average of a model (MoCo, 1911.05722; ALBEF, 2107.07651).

It knows nothing about losses; torch's ``AveragedModel`` keeps the copy and its state dict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from open_autoglm.errors import SettingError

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class MomentumSchedule:
    """The share of the old weights that an update keeps.

    0 before update ``begin``: the copy follows the model exactly. From there ``start`` rises to ``end`` over
    ``steps`` updates along a half cosine (BYOL, 2006.07733, and MoCo v3); ALBEF's is constant at 0.995.
    """

    start: float = 0.995
    end: float = 0.995
    steps: int = 0
    begin: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end <= 1:
            raise SettingError(f"A momentum schedule needs 0 <= start <= end <= 1, not {self.start} and {self.end}.")

    def __call__(self, update: int) -> float:
        if update < self.begin:
            return 0.0
        passed = min(1.0, (update - self.begin) / self.steps) if self.steps else 1.0
        return self.end - (self.end - self.start) * (1 + math.cos(math.pi * passed)) / 2


class MomentumEncoder(AveragedModel):
    """A copy of ``model`` without gradients, always in evaluation mode, called as the model is.

    Call ``update_parameters(model)`` after each optimiser step, with the model itself, not its DDP wrapper. Weights
    are averaged, buffers copied; weights and the number of updates are in the state dict.
    """

    n_averaged: Tensor

    def __init__(self, model: nn.Module, schedule: MomentumSchedule | None = None) -> None:
        chosen = schedule or MomentumSchedule()

        def average(averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
            # torch counts the copy that it was made from as the first.
            get_ema_multi_avg_fn(chosen(int(updates) - 1))(averaged, current, updates)

        super().__init__(model, multi_avg_fn=average)
        # At 0, torch's first update would copy the model without asking the schedule.
        self.n_averaged += 1
        self.schedule = chosen
        self.requires_grad_(False)
        self.train(False)

    @property
    def momentum(self) -> float:
        """The share that the next update keeps."""
        return self.schedule(int(self.n_averaged) - 1)

    def train(self, mode: bool = True) -> MomentumEncoder:
        """Stays in evaluation mode: targets come without dropout and with running statistics."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, *args: object, **kwargs: object) -> object:
        return super().forward(*args, **kwargs)
