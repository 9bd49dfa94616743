"""The map of a stage as a regression: inputs from the pruned tower, targets from the full one.

It knows stages and least squares; it knows nothing about plans.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .least_squares import Fit, Moments, Reduction
from .stages import Stage, State

ROWS = 24576  # of one stage, at most: more than ten times as many as it has columns


def fitted(stage: Stage, width: int, full: Sequence[State], states: Sequence[State], ridge: float = 1e-2) -> Fit:
    """The map of ``width`` units that makes of ``states`` what the stage's own makes of ``full``, before its end."""
    return reduction(stage, full, states, ridge).fits([width])[width]


def reduction(stage: Stage, full: Sequence[State], states: Sequence[State], ridge: float = 1e-2) -> Reduction:
    """The least squares problem of a stage: inputs of the pruned tower, targets of the full one."""
    weight, bias = stage.map()
    moments = Moments(weight.shape[1], weight.shape[0])
    for inputs, targets in sampled(stage, full, states):
        moments.add(inputs, targets)
    return Reduction(moments, weight, stage.columns, ridge)


def sampled(stage: Stage, full: Sequence[State], states: Sequence[State]) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of inner activations and of what the map should make of them, as many from each batch."""
    generator = torch.Generator().manual_seed(0)
    weight, bias = stage.map()
    each = ROWS // len(full)
    for whole, state in zip(full, states, strict=True):
        wanted = stage.mapped(stage.inner(whole), weight, bias)
        before, now = stage.base(whole), stage.base(state)
        if before is not None and now is not None:
            wanted = wanted + before - now
        inputs, targets = stage.rows(stage.inner(state), state.mask), stage.rows(wanted, state.mask)
        chosen = torch.randperm(len(inputs), generator=generator)[:each]
        yield inputs[chosen], targets[chosen]
