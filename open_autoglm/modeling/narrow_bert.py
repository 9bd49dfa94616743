"""BERT whose layers differ in width, as a pruned text tower's do.

It knows how many heads and feed-forward units each layer has; it knows nothing about how they were chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn
from transformers import BertConfig, BertModel

from open_autoglm.errors import SettingError


class NarrowBertConfig(BertConfig):
    """BERT with ``layer_heads`` attention heads and ``layer_widths`` feed-forward units in its layers, first to last.

    None takes BERT's own. A head is as wide as ``hidden_size / num_attention_heads``.
    """

    model_type = "narrow_bert"

    def __init__(
        self, layer_heads: Sequence[int] | None = None, layer_widths: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.layer_heads = per_layer(layer_heads, self.num_attention_heads, self.num_hidden_layers, "layer_heads")
        self.layer_widths = per_layer(layer_widths, self.intermediate_size, self.num_hidden_layers, "layer_widths")


def per_layer(given: Sequence[int] | None, full: int, layers: int, name: str) -> list[int]:
    """A number a layer. SettingError for another count, or a number outside of 1 to ``full``."""
    found = [full] * layers if given is None else [int(one) for one in given]
    if len(found) != layers or not all(1 <= one <= full for one in found):
        raise SettingError(f"{name} has to be {layers} numbers from 1 to {full}, and is {found}.")
    return found


class NarrowBertModel(BertModel):
    """BERT in every respect but its layers' widths."""

    config_class = NarrowBertConfig

    def __init__(self, config: NarrowBertConfig, add_pooling_layer: bool = True) -> None:
        super().__init__(config, add_pooling_layer=add_pooling_layer)
        hidden, head = config.hidden_size, config.hidden_size // config.num_attention_heads
        for layer, heads, width in zip(self.encoder.layer, config.layer_heads, config.layer_widths, strict=True):
            attention = layer.attention.self
            attention.query, attention.key, attention.value = (nn.Linear(hidden, heads * head) for _ in range(3))
            layer.attention.output.dense = nn.Linear(heads * head, hidden)
            layer.intermediate.dense, layer.output.dense = nn.Linear(hidden, width), nn.Linear(width, hidden)
        self.post_init()
