"""The text side: a tower's token states pooled into one vector a sentence.

It knows nothing about pictures or the shared space.
"""

from __future__ import annotations

from torch import Tensor, nn
from transformers import AutoModel

from .configuration import OpenAutoGLMConfig


class TextEncoder(nn.Module):
    """``input_ids`` and ``attention_mask`` [B, T] to sentence features [B, hidden]."""

    def __init__(self, config: OpenAutoGLMConfig) -> None:
        super().__init__()
        self.tower = AutoModel.from_config(config.text_config)
        self.pooling = config.text_pooling
        self.hidden_size: int = config.text_config.hidden_size

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
        return self.with_tokens(input_ids, attention_mask)[0]

    def with_tokens(self, input_ids: Tensor, attention_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The features [B, hidden], and those of every token [B, T, hidden]."""
        outputs = self.tower(input_ids=input_ids, attention_mask=attention_mask)
        states: Tensor = outputs.last_hidden_state
        if self.pooling == "pooler":
            return outputs.pooler_output, states
        return self.pool(states, attention_mask), states

    def pool(self, states: Tensor, attention_mask: Tensor | None) -> Tensor:
        """The features [B, hidden] of token states [B, T, hidden], the mean or the first."""
        if self.pooling == "first" or attention_mask is None:
            return states[:, 0] if self.pooling == "first" else states.mean(dim=1)
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
