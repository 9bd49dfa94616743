"""Interactions of fields: each against its formula, written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch_parts import one_thread  # noqa: F401

from open_autoglm.modeling.interactions import INTERACTIONS, CrossNetwork, CrossNetworkV2, Gated

FIELDS, WIDTH = 3, 4


@pytest.fixture
def fields() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(2, 5, FIELDS, WIDTH)


@pytest.mark.parametrize("name", INTERACTIONS)
def test_each_gives_as_many_numbers_as_it_says(name: str, fields: Tensor) -> None:
    made = INTERACTIONS[name](FIELDS, WIDTH)
    assert made(fields).shape == (2, 5, made.width)


def test_products_of_pairs(fields: Tensor) -> None:
    found = INTERACTIONS["inner_product"](FIELDS, WIDTH)(fields)[0, 0]
    one = fields[0, 0]
    assert torch.allclose(found, torch.stack([one[0] @ one[1], one[0] @ one[2], one[1] @ one[2]]))
    outer = INTERACTIONS["outer_product"](FIELDS, WIDTH)(fields)[0, 0]
    assert torch.allclose(outer.reshape(WIDTH, WIDTH), torch.outer(one.sum(0), one.sum(0)))


def test_a_gate_lets_a_field_through_or_not(fields: Tensor) -> None:
    gated = Gated(FIELDS, WIDTH)
    torch.nn.init.zeros_(gated.gates.weight)
    with torch.no_grad():
        gated.gates.bias.copy_(torch.tensor([1e4] * WIDTH + [-1e4] * 2 * WIDTH))  # the first field alone
        assert torch.allclose(gated(fields), gated.changes[0](fields[..., 0, :]).tanh())


def test_cross_networks_raise_the_degree_layer_by_layer(fields: Tensor) -> None:
    flat = fields.flatten(-2)
    first = CrossNetwork(FIELDS, WIDTH, layers=1)
    wanted = flat * (flat @ first.weights[0]).unsqueeze(-1) + first.biases[0] + flat
    assert torch.allclose(first(fields), wanted, atol=1e-6)
    second = CrossNetworkV2(FIELDS, WIDTH, layers=1)
    assert torch.allclose(second(fields), flat * second.layers[0](flat) + flat, atol=1e-6)
    small, large = (
        sum(one.numel() for one in CrossNetworkV2(FIELDS, WIDTH, rank=rank).parameters()) for rank in (2, None)
    )
    assert small < large
