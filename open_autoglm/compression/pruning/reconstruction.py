"""The map of a stage as a regression: inputs from the pruned tower, targets from the full one.

It knows stages and least squares; it knows nothing about plans.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .least_squares import Fit, Moments, Reduction
from .stages import Stage, State

ROWS = 24576  # of one stage, at most: more than ten times as many as it has columns
RIDGE = 1e-2  # of the inputs' mean variance


def fitted(stage: Stage, width: int, states: Sequence[State], wanted: Sequence[Tensor], ridge: float = RIDGE) -> Fit:
    """The map of ``width`` units that makes of ``states`` what is ``wanted`` of it, before the stage's end."""
    return reduction(stage, states, wanted, ridge).fits([width])[width]


def reduction(stage: Stage, states: Sequence[State], wanted: Sequence[Tensor], ridge: float = RIDGE) -> Reduction:
    """The least squares problem of a stage: ``states`` that go into it, and ``summed`` of it that are wanted."""
    weight, _ = stage.map()
    moments = Moments(weight.shape[1], weight.shape[0])
    for inputs, targets in sampled(stage, states, wanted):
        moments.add(inputs, targets)
    return Reduction(moments, weight, stage.columns, ridge)


def sampled(stage: Stage, states: Sequence[State], wanted: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows of inner activations and of what the map should make of them, as many from each batch."""
    generator = torch.Generator().manual_seed(0)
    each = math.ceil(ROWS / len(states))
    for state, goal in zip(states, wanted, strict=True):
        base = stage.base(state)
        inputs = stage.rows(stage.inner(state), state.mask)
        targets = stage.rows(goal if base is None else goal - base, state.mask)
        chosen = torch.randperm(len(inputs), generator=generator)[:each]
        yield inputs[chosen], targets[chosen]
