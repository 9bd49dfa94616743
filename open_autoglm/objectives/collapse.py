"""Watches whether the embeddings of a batch fall together into one point, the known failure of hard mining.

It knows vectors; it knows nothing about the loss that drives them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.errors import SettingError


class CollapseMonitor(nn.Module):
    """``collapsed`` from when the spread falls below ``low`` until it is above ``high`` again.

    The spread of unit vectors u is ``1 - |mean(u)|^2``: 0 where all are one, near 1 where they point everywhere; it
    is the mean of 1 - cos over all couples. Taken is the lower of both sides, averaged over about
    ``1 / (1 - decay)`` batches. ``spread`` and ``collapsed`` are in the state dict.
    """

    spread: Tensor
    collapsed: Tensor

    def __init__(self, low: float = 0.05, high: float = 0.1, decay: float = 0.8) -> None:
        super().__init__()
        if not 0 <= low <= high <= 1:
            raise SettingError(f"A collapse monitor needs 0 <= low <= high <= 1, not {low} and {high}.")
        self.low, self.high, self.decay = low, high, decay
        self.register_buffer("spread", torch.tensor(-1.0))
        self.register_buffer("collapsed", torch.tensor(False))

    @torch.no_grad()
    def watch(self, images: Tensor, texts: Tensor) -> None:
        """Takes in a batch: vectors [B, d] of both sides."""
        spread = torch.minimum(mean_spread(images), mean_spread(texts)).to(self.spread)
        self.spread.copy_(spread if self.spread < 0 else self.spread.lerp(spread, 1 - self.decay))
        self.collapsed.copy_(self.spread < (self.high if self.collapsed else self.low))


def mean_spread(vectors: Tensor) -> Tensor:
    """``1 - |mean(u)|^2`` of vectors [B, d] scaled to unit length."""
    return 1 - F.normalize(vectors.float(), dim=1).mean(dim=0).square().sum()
