"""What every way of pruning needs to know of a tower: stages, each with inner units that a linear map reads.

It knows what a stage is; how an inverted residual block or a transformer layer is one, its neighbours know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .least_squares import Fit


@dataclass(frozen=True)
class State:
    """What goes from stage to stage: maps [B, C, H, W], or token states [B, T, C] and which tokens there are [B, T]."""

    values: Tensor
    mask: Tensor | None = None


class Stage(Protocol):
    """A part of a tower whose inner ``units`` (channels, heads) may go; the map that reads them is fitted anew.

    ``name`` is what a plan calls it. ``columns``: inner activations a unit. ``multiple``: widths that kernels like.
    ``removable``: it is added to its input, so it may go as a whole; ``prunable``: units of it may go.
    ``parameters`` and ``work`` (multiply-adds for the given state) grow with the units: of one unit.
    """

    name: str
    units: int
    columns: int
    multiple: int
    removable: bool
    prunable: bool
    parameters: int

    def inner(self, state: State) -> Tensor:
        """Inner activations, units * columns of them along the channels' dimension."""

    def take(self, inner: Tensor, kept: Tensor) -> Tensor:
        """Inner activations of the ``kept`` columns."""

    def rows(self, values: Tensor, mask: Tensor | None) -> Tensor:
        """Values as rows [n, channels]; those of padding are left out."""

    def base(self, state: State) -> Tensor | None:
        """What the map's outputs are added to."""

    def mapped(self, inner: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """The linear map of inner activations."""

    def finish(self, summed: Tensor, mask: Tensor | None) -> State:
        """The stage's output of its map's outputs, added to what they are added to."""

    def map(self) -> tuple[Tensor, Tensor]:
        """Weight [outputs, units * columns] and bias [outputs] of the map."""

    def work(self, state: State) -> float:
        """Multiply-adds of one unit for this state."""

    def narrow(self, fit: Fit) -> None:
        """Keeps the units of ``fit``, and its map."""


def summed(stage: Stage, state: State, fit: Fit | None = None) -> Tensor:
    """What the stage's own map, or that of a fit, gives, added to what it is added to."""
    inner = stage.inner(state)
    mapped = (
        stage.mapped(inner, *stage.map())
        if fit is None
        else stage.mapped(stage.take(inner, fit.kept), fit.weight, fit.bias)
    )
    base = stage.base(state)
    return mapped if base is None else mapped + base


def passed(stage: Stage, state: State, fit: Fit | None = None) -> State:
    """The stage's output, with its own units and map or with those of a fit."""
    return stage.finish(summed(stage, state, fit), state.mask)


class Tower(Protocol):
    """One of the model's towers as stages in order; its batches are its side of a calibration."""

    name: str
    stages: Sequence[Stage]

    def start(self, batch: Sequence[Tensor]) -> State:
        """What the first stage takes."""

    def vectors(self, state: State) -> Tensor:
        """Unit vectors [B, dimension] in the shared space of the last stage's output."""

    def settle(self, widths: Sequence[int]) -> None:
        """Writes the units that each stage has kept, 0 for one that is gone, into the model and its configuration."""

    @property
    def parameters(self) -> int:
        """Of all that pruning counts: the picture tower, or the text tower's encoder without its embeddings."""


def through(tower: Tower, state: State, first: int = 0) -> State:
    """The last stage's output of what stage ``first`` takes."""
    for stage in tower.stages[first:]:
        state = passed(stage, state)
    return state


@torch.no_grad()
def vectors(tower: Tower, batches: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """Unit vectors of each batch, as the tower is now."""
    return [tower.vectors(through(tower, tower.start(batch))) for batch in batches]
