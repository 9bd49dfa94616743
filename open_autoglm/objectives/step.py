"""One forward and backward pass over a batch: encode, compare, judge, and leave the gradients in ``.grad``.

It knows nothing about optimisers, data or schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from open_autoglm.modeling.similarity import Similarity

from .gather import gather
from .momentum import MomentumEncoder
from .objective import Objective, Result
from .pairs import Pairs

Batch = Mapping[str, Any]
Encode = Callable[[nn.Module, Batch], Pairs]
"""Runs a model, or its momentum copy, on a batch; calls the model itself, so that it may be wrapped for DDP."""


@dataclass(frozen=True)
class Step:
    """The plain step. With several processes the objective sees the pairs of all of them (``gather``)."""

    model: nn.Module
    encode: Encode
    objective: Objective
    similarity: Similarity
    logit_scale: nn.Parameter
    momentum: MomentumEncoder | None = None

    def step(self, batch: Batch, loss_scale: float = 1.0) -> Result:
        """Adds the gradients of ``loss_scale`` x the loss to ``.grad``; returns the loss unscaled and detached.

        ``loss_scale`` is 1 / (number of batches) where gradients are accumulated.
        """
        targets = self.encode_targets(batch)
        result = self.judge(self.encode(self.model, batch), targets)
        (result.loss * loss_scale).backward()
        return replace(result, loss=result.loss.detach())

    def judge(self, pairs: Pairs, targets: Pairs | None) -> Result:
        """The objective's result on the pairs of all processes."""
        result = self.objective(gather(replace(pairs, targets=targets)), self.similarity, self.logit_scale)
        # DDP waits for a gradient of every parameter, and a triplet loss has none for the temperature.
        return replace(result, loss=result.loss + 0.0 * self.logit_scale)

    def encode_targets(self, batch: Batch) -> Pairs | None:
        """The batch as the momentum encoder sees it; None without one."""
        if self.momentum is None:
            return None
        with torch.no_grad():
            return self.encode(self.momentum, batch)
