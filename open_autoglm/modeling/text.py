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
        outputs = self.tower(input_ids=input_ids, attention_mask=attention_mask)
        if self.pooling == "pooler":
            pooled: Tensor = outputs.pooler_output
            return pooled
        states: Tensor = outputs.last_hidden_state
        if self.pooling == "first" or attention_mask is None:
            return states[:, 0] if self.pooling == "first" else states.mean(dim=1)
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
