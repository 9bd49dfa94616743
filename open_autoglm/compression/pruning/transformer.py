"""The text tower as stages: attention heads and feed-forward width of BERT's layers.

It knows the tower's modules; it knows nothing about which heads should go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import BertModel

from open_autoglm.errors import SettingError
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.narrow_bert import NarrowBertConfig

from .least_squares import Fit
from .stages import Stage, State


class Tokens:
    """What the two kinds of stages of a layer share: states [B, T, C], and a dense layer added to its input."""

    name: str
    units: int
    parameters: int
    columns = 1
    removable, prunable = False, True
    last: Any  # a dense layer with the norm after it

    def take(self, inner: Tensor, kept: Tensor) -> Tensor:
        return inner[..., kept]

    def rows(self, values: Tensor, mask: Tensor | None) -> Tensor:
        return values.flatten(0, 1) if mask is None else values[mask.bool()]

    def base(self, state: State) -> Tensor | None:
        return state.values

    def mapped(self, inner: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(inner, weight, bias)

    def finish(self, summed: Tensor, mask: Tensor | None) -> State:
        return State(self.last.LayerNorm(summed), mask)

    def map(self) -> tuple[Tensor, Tensor]:
        return self.last.dense.weight, self.last.dense.bias

    def put(self, fit: Fit) -> None:
        """The fitted map as the dense layer."""
        self.last.dense = linear(fit.weight, fit.bias)


class Heads(Tokens):
    """A layer's attention."""

    multiple = 1

    def __init__(self, name: str, attention: Any) -> None:
        self.name, self.attention, self.last = name, attention.self, attention.output
        self.columns = self.attention.attention_head_size
        width: int = self.attention.query.in_features
        self.units = self.attention.query.out_features // self.columns
        self.parameters = self.columns * (4 * width + 3)

    def inner(self, state: State) -> Tensor:
        assert state.mask is not None  # noqa: S101  (sentences have one)
        hidden = (1.0 - state.mask.to(state.values.dtype)) * torch.finfo(state.values.dtype).min
        inner: Tensor = self.attention(state.values, hidden[:, None, None])[0]
        return inner

    def work(self, state: State) -> float:
        rows, length = state.values.shape[:2]
        return rows * length * (self.parameters + 2 * length * self.columns)

    def narrow(self, fit: Fit) -> None:
        for name in ("query", "key", "value"):
            dense = getattr(self.attention, name)
            setattr(self.attention, name, linear(dense.weight[fit.kept], dense.bias[fit.kept]))
        self.put(fit)


class Feed(Tokens):
    """A layer's feed-forward part."""

    multiple = 32

    def __init__(self, name: str, layer: Any) -> None:
        self.name, self.layer, self.last = name, layer, layer.output
        self.units = layer.intermediate.dense.out_features
        self.parameters = 2 * layer.intermediate.dense.in_features + 1

    def inner(self, state: State) -> Tensor:
        inner: Tensor = self.layer.intermediate(state.values)
        return inner

    def work(self, state: State) -> float:
        return float(state.values.shape[0] * state.values.shape[1] * self.parameters)

    def narrow(self, fit: Fit) -> None:
        dense = self.layer.intermediate.dense
        self.layer.intermediate.dense = linear(dense.weight[fit.kept], dense.bias[fit.kept])
        self.put(fit)


class TextTower:
    """Stages of a model's text tower; a batch is token ids and mask [B, T]. SettingError for another kind than BERT."""

    name = "text"

    def __init__(self, model: OpenAutoGLM) -> None:
        tower = model.text.tower
        if not isinstance(tower, BertModel) or not len(tower.encoder.layer):
            kind = model.config.text_config.model_type
            raise SettingError(f"A text tower of the kind {kind} cannot be pruned: only bert with layers can.")
        self.model, self.tower = model, tower
        stages: list[Stage] = []
        for number, layer in enumerate(tower.encoder.layer):
            stages += [
                Heads(f"text.layers.{number}.heads", layer.attention),
                Feed(f"text.layers.{number}.feed_forward", layer),
            ]
        self.stages: Sequence[Stage] = stages

    def start(self, batch: Sequence[Tensor]) -> State:
        ids, mask = batch
        return State(self.tower.embeddings(input_ids=ids), mask)

    def vectors(self, state: State) -> Tensor:
        text = self.model.text
        pooler = text.pooling == "pooler"
        pooled = self.tower.pooler(state.values) if pooler else text.pool(state.values, state.mask)
        return F.normalize(self.model.text_head(pooled), dim=-1)

    def settle(self, widths: Sequence[int]) -> None:
        settings = self.tower.config.to_dict()
        settings |= {"layer_heads": list(widths[0::2]), "layer_widths": list(widths[1::2])}
        settings.pop("model_type")
        self.model.config.text_config = NarrowBertConfig(**settings)

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.tower.encoder.parameters())


def linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A dense layer of these weights."""
    made = nn.Linear(weight.shape[1], weight.shape[0])
    made.weight, made.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
    return made
