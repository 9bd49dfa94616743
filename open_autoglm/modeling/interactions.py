"""How the vectors of several fields meet: concatenation, gates, inner and outer products, cross networks.

Fusion and ranking build on these; they know nothing about what a field stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn


class Interaction(Protocol):
    """Fields [..., fields, dimension] to one vector of ``width`` numbers [..., width]; an ``nn.Module``."""

    width: int

    def __call__(self, fields: Tensor, /) -> Tensor: ...


class Concatenation(nn.Module):
    """The fields one after the other."""

    def __init__(self, fields: int, dimension: int) -> None:
        super().__init__()
        self.width = fields * dimension

    def forward(self, fields: Tensor) -> Tensor:
        return fields.flatten(-2)


class Gated(nn.Module):
    """A gated multimodal unit (1702.01992): each field's tanh, mixed by sigmoid gates that see all fields."""

    def __init__(self, fields: int, dimension: int) -> None:
        super().__init__()
        self.width = dimension
        self.changes = nn.ModuleList(nn.Linear(dimension, dimension) for _ in range(fields))
        self.gates = nn.Linear(fields * dimension, fields * dimension)

    def forward(self, fields: Tensor) -> Tensor:
        changed = torch.stack(
            [change(field).tanh() for change, field in zip(self.changes, fields.unbind(-2), strict=True)], dim=-2
        )
        gates = self.gates(fields.flatten(-2)).sigmoid().unflatten(-1, fields.shape[-2:])
        return (gates * changed).sum(dim=-2)


class InnerProduct(nn.Module):
    """The inner product of every two fields (IPNN, 1611.00144)."""

    def __init__(self, fields: int, dimension: int) -> None:
        super().__init__()
        self.width = fields * (fields - 1) // 2
        pairs = [(one, other) for one in range(fields) for other in range(one + 1, fields)]
        self.first, self.second = ([pair[side] for pair in pairs] for side in range(2))

    def forward(self, fields: Tensor) -> Tensor:
        return (fields[..., self.first, :] * fields[..., self.second, :]).sum(dim=-1)


class OuterProduct(nn.Module):
    """The outer product of the fields' sum with itself, as OPNN superposes its pairs (1611.00144)."""

    def __init__(self, fields: int, dimension: int) -> None:
        super().__init__()
        self.width = dimension * dimension

    def forward(self, fields: Tensor) -> Tensor:
        total = fields.sum(dim=-2)
        return (total.unsqueeze(-1) * total.unsqueeze(-2)).flatten(-2)


class CrossNetwork(nn.Module):
    """DCN's cross network (1708.05123): each layer raises the degree of the products by one, at the cost of a vector.

    ``x' = x0 (x . w) + b + x``, on the fields one after the other.
    """

    def __init__(self, fields: int, dimension: int, layers: int = 2) -> None:
        super().__init__()
        self.width = fields * dimension
        self.weights = nn.ParameterList(nn.Parameter(torch.randn(self.width) / self.width) for _ in range(layers))
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(self.width)) for _ in range(layers))

    def forward(self, fields: Tensor) -> Tensor:
        start = crossed = fields.flatten(-2)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            crossed = start * (crossed @ weight).unsqueeze(-1) + bias + crossed
        return crossed


class CrossNetworkV2(nn.Module):
    """DCN-V2's cross network (2008.13535), with a matrix a layer: ``x' = x0 * (W x + b) + x``.

    ``rank``: W as the product of two narrow matrices; None keeps it whole.
    """

    def __init__(self, fields: int, dimension: int, layers: int = 2, rank: int | None = None) -> None:
        super().__init__()
        self.width = fields * dimension
        self.layers = nn.ModuleList(self._layer(rank) for _ in range(layers))

    def _layer(self, rank: int | None) -> nn.Module:
        if rank is None:
            return nn.Linear(self.width, self.width)
        return nn.Sequential(nn.Linear(self.width, rank, bias=False), nn.Linear(rank, self.width))

    def forward(self, fields: Tensor) -> Tensor:
        start = crossed = fields.flatten(-2)
        for layer in self.layers:
            crossed = start * layer(crossed) + crossed
        return crossed


INTERACTIONS: Mapping[str, Callable[[int, int], Interaction]] = {
    "concatenation": Concatenation,
    "gated": Gated,
    "inner_product": InnerProduct,
    "outer_product": OuterProduct,
    "cross": CrossNetwork,
    "cross_v2": CrossNetworkV2,
}
"""By name, made for a number of fields and their dimension."""
