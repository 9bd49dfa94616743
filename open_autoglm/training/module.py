"""Everything a training moves on: the model, its objective, the momentum copy and the average.

It is one module, so that one state dict resumes all of it; it knows nothing about data, optimisers or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.objectives import MomentumEncoder, MomentumSchedule, clamp_temperature_


class Learned(nn.Module):
    """What becomes the bundle."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder


class TrainingModule(nn.Module):
    """``encoder`` calls its ``model`` as a task needs it; a batch's tensors go in by name.

    ``momentum`` and ``average``: schedules of a target encoder and of an average of the weights, None for neither.

    ``frozen``: modules that stay in evaluation mode, as their parameters do not learn.
    """

    def __init__(
        self,
        encoder: nn.Module,
        objective: nn.Module,
        momentum: MomentumSchedule | None = None,
        average: MomentumSchedule | None = None,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = objective
        self.momentum = MomentumEncoder(self.encoder, momentum) if momentum else None
        self.average = MomentumEncoder(self.learned, average) if average else None
        self._frozen = tuple(frozen)

    def forward(self, **batch: Tensor) -> Any:
        return self.encoder(**batch)

    def train(self, mode: bool = True) -> TrainingModule:
        """As usual, but what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    @property
    def model(self) -> OpenAutoGLM:
        """The model itself."""
        return cast(OpenAutoGLM, self.encoder.model)

    @property
    def temperature(self) -> float:
        """The inverse of the model's scale."""
        return float((-self.model.logit_scale.detach()).exp())

    @property
    def learned(self) -> Learned:
        """The model as it is now."""
        return Learned(self.encoder)

    @property
    def evaluated(self) -> Learned:
        """The same with averaged weights, where they are averaged."""
        return self.learned if self.average is None else cast(Learned, self.average.module)

    def learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What an optimiser changes, by names as the model's user knows them."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                yield public_name(name), parameter

    @torch.no_grad()
    def after_update(self) -> None:
        """What follows every optimiser step: limits, statistics shared between processes, and the copies."""
        clamp_temperature_(self.model.logit_scale)
        share_statistics(self.encoder)
        if self.momentum is not None:
            self.momentum.update_parameters(self.encoder)
        if self.average is not None:
            self.average.update_parameters(self.learned)


def public_name(name: str) -> str:
    """A parameter of a training by the model's own name for it."""
    return name.removeprefix("encoder.model.")


def share_statistics(module: nn.Module) -> None:
    """Averages the running statistics of batch normalisation over processes, so that all have the same model."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if buffers:
        vector = torch.cat([buffer.flatten() for buffer in buffers])
        dist.all_reduce(vector)
        means = (vector / dist.get_world_size()).split([buffer.numel() for buffer in buffers])
        for buffer, mean in zip(buffers, means, strict=True):
            buffer.copy_(mean.view_as(buffer))  # each keeps its own memory: a view of all could not be saved
