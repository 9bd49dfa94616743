"""Multi-head attention that also says where it looked, and the feed-forward half of a transformer layer.

It knows nothing about pictures or text.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

USUAL = 16  # parts of a context, so many that their sigmoids begin as shares would
START = -math.log(USUAL)


class Attention(nn.Module):
    """Scaled dot-product attention (1706.03762) from ``queries`` to ``context``.

    With ``sigmoid`` each weight is a sigmoid of its own instead of a share of one (2409.04431): what is found adds up,
    so that it can count, where shares can only compare. Written out, not fused: the weights are an output, and contexts
    are some tens of regions or words.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0, sigmoid: bool = False) -> None:
        super().__init__()
        self.heads = heads
        self.bias = nn.Parameter(torch.full((heads, 1, 1), START)) if sigmoid else None
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """``queries`` [B, q, d], ``context`` [B, c, d], ``mask`` [B, c] or [B, q, c], True where there is context.

        Returns [B, q, d], and the weights [B, q, c], the mean over the heads. Without any context it looks everywhere.
        """
        keys, values = self.keys(context), self.values(context)
        return self.attend(queries, keys, values, mask)

    def keys(self, context: Tensor) -> Tensor:
        """[B, heads, c, d / heads]."""
        return self._split(self.key(context))

    def values(self, context: Tensor) -> Tensor:
        """[B, heads, c, d / heads]."""
        return self._split(self.value(context))

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The same with keys and values that are there already."""
        wide = mask[:, None, None] if mask.ndim == 2 else mask[:, None]
        asked = self._split(self.query(queries)) * (keys.shape[-1] ** -0.5)
        scores = asked @ keys.transpose(-1, -2)
        if self.bias is None:
            weights = scores.masked_fill(~wide, torch.finfo(asked.dtype).min).softmax(dim=-1)
        else:
            weights = (scores + self.bias).sigmoid() * wide
        found = (self.dropout(weights) @ values).transpose(1, 2).flatten(2)
        return self.out(found), weights.mean(dim=1)

    def _split(self, tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (self.heads, -1)).transpose(1, 2)


def feed_forward(width: int, dropout: float) -> nn.Sequential:
    """Norm, four times the width, and back."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout)
    )
