"""Which inputs of a linear map can go, and the weights that make up for them: least squares on second moments.

It knows matrices; it knows nothing about models, pictures or sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_STEPS = 40  # at most a fortieth of the inputs that remain goes in one step: as good as one by one, and far faster


class Moments:
    """Sums over rows of inputs [n, columns] and targets [n, outputs], in float64, that are all a regression needs."""

    def __init__(self, columns: int, outputs: int) -> None:
        self.rows = 0
        self.inputs = torch.zeros(columns, dtype=torch.float64)
        self.targets = torch.zeros(outputs, dtype=torch.float64)
        self.square = torch.zeros(columns, columns, dtype=torch.float64)
        self.cross = torch.zeros(columns, outputs, dtype=torch.float64)

    def add(self, inputs: Tensor, targets: Tensor) -> None:
        """Counts rows."""
        self.rows += len(inputs)
        self.inputs += inputs.sum(dim=0)
        self.targets += targets.sum(dim=0)
        self.square += inputs.T @ inputs  # in float32: a batch is small enough for it
        self.cross += inputs.T @ targets

    @property
    def means(self) -> tuple[Tensor, Tensor]:
        """Of inputs [columns] and targets [outputs]."""
        return self.inputs / self.rows, self.targets / self.rows

    @property
    def centred(self) -> tuple[Tensor, Tensor]:
        """Covariance of the inputs [columns, columns], and with the targets [columns, outputs]."""
        inputs, targets = self.means
        square = self.square / self.rows - torch.outer(inputs, inputs)
        return square, self.cross / self.rows - torch.outer(inputs, targets)


@dataclass(frozen=True)
class Fit:
    """A linear map from the inputs ``kept`` [k]: ``weight`` [outputs, k] and ``bias`` [outputs]."""

    kept: Tensor
    weight: Tensor
    bias: Tensor


class Reduction:
    """Takes inputs out of a linear map, those first that the rest makes up for best.

    Ridge regression that pulls towards the map's own ``weight`` [outputs, columns]: where the rows say little, it stays
    as it was. Groups of ``size`` columns go together (a head's). Source: Optimal Brain Surgeon (Hassibi & Stork, 1993),
    whose update is exact here, as the error of a linear map is quadratic; by groups as in ZipLM (arXiv 2302.04089).
    """

    def __init__(self, moments: Moments, weight: Tensor, size: int, ridge: float) -> None:
        square, cross = moments.centred
        pull = max(ridge * float(square.diagonal().mean()), 1e-8)
        self.means = moments.means
        self.square = square + pull * torch.eye(len(square), dtype=torch.float64)
        self.wanted = cross + pull * weight.T.double()
        self.size = size
        self.groups = len(square) // size

    def fits(self, widths: Sequence[int]) -> dict[int, Fit]:
        """A map for each number of groups kept, at least 1."""
        going = self.order(min(widths))
        found: dict[int, Fit] = {}
        for width in widths:
            gone = set(going[: self.groups - width])
            groups = torch.tensor([group for group in range(self.groups) if group not in gone])
            found[width] = self.fit(groups)
        return found

    def fit(self, groups: Tensor) -> Fit:
        """The map from these groups alone."""
        kept = columns_of(groups, self.size)
        weight = torch.linalg.solve(self.square[kept][:, kept], self.wanted[kept]).T
        inputs, targets = self.means
        return Fit(kept, weight.float(), (targets - weight @ inputs[kept]).float())

    def order(self, least: int) -> list[int]:
        """Groups in the order in which they go, until ``least`` are left."""
        alive = torch.arange(self.groups)
        inverse = torch.linalg.inv(self.square)
        weight = inverse @ self.wanted
        going: list[int] = []
        while len(alive) > least:
            count = min(max(1, len(alive) // _STEPS), len(alive) - least)
            lowest = self.losses(inverse, weight).topk(count, largest=False).indices
            going += alive[lowest].tolist()
            gone = columns_of(lowest, self.size)
            stay = torch.ones(len(inverse), dtype=torch.bool)
            stay[gone] = False
            made_up = torch.linalg.solve(inverse[gone][:, gone], inverse[gone][:, stay])
            weight = weight[stay] - made_up.T @ weight[gone]
            inverse = inverse[stay][:, stay] - inverse[stay][:, gone] @ made_up
            left = torch.ones(len(alive), dtype=torch.bool)
            left[lowest] = False
            alive = alive[left]
        return going

    def losses(self, inverse: Tensor, weight: Tensor) -> Tensor:
        """How much the squared error grows without each group, the others made to make up for it."""
        if self.size == 1:
            return weight.square().sum(dim=1) / inverse.diagonal()
        groups = torch.arange(len(inverse)).view(-1, self.size)
        own = inverse[groups[:, :, None], groups[:, None, :]]
        return (weight[groups] * torch.linalg.solve(own, weight[groups])).sum(dim=(1, 2))


def columns_of(groups: Tensor, size: int) -> Tensor:
    """The columns of groups of ``size``."""
    return (groups[:, None] * size + torch.arange(size)).flatten()
