"""A ring of the latest unit vectors of both sides with their keys: negatives beyond the batch (MoCo, 1911.05722).

It knows nothing about losses or which encoder made the vectors.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Features

from .pairs import Pairs, as_columns


class Queue(nn.Module):
    """The last ``size`` pairs of vectors of width ``dimension``, with ``keys`` label columns a pair.

    All of it is in the state dict. Whole vectors only: regions and words of thousands of pairs would not fit.
    """

    images: Tensor
    texts: Tensor
    labels: Tensor
    pushed: Tensor

    def __init__(self, size: int, dimension: int, keys: int = 1) -> None:
        super().__init__()
        if size < 1:
            raise SettingError(f"A queue holds at least one pair, not {size}; use the contrastive loss to have none.")
        self.size = size
        self.register_buffer("images", torch.zeros(size, dimension))
        self.register_buffer("texts", torch.zeros(size, dimension))
        self.register_buffer("labels", torch.full((size, keys), -1, dtype=torch.long))
        self.register_buffer("pushed", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return min(int(self.pushed), self.size)

    @torch.no_grad()
    def push(self, pairs: Pairs) -> None:
        """Stores a batch over the oldest entries; of a batch larger than the queue, its last pairs."""
        labels = as_columns(pairs.labels)
        if labels.shape[1] != self.labels.shape[1]:
            raise SettingError(
                f"The queue keeps {self.labels.shape[1]} keys a pair and the batch has {labels.shape[1]}: "
                "set the queue's keys to the batch's."
            )
        first = max(0, len(pairs) - self.size)
        rows = (self.pushed + torch.arange(first, len(pairs), device=self.pushed.device)) % self.size
        self.images[rows] = pairs.images.whole[first:].to(self.images)
        self.texts[rows] = pairs.texts.whole[first:].to(self.texts)
        self.labels[rows] = labels[first:]
        self.pushed += len(pairs)

    def behind(self, pairs: Pairs) -> tuple[Features, Features, Tensor]:
        """Candidates: the batch's whole vectors followed by what the queue holds; images, texts, keys [B + held, K]."""
        held = len(self)
        images = torch.cat([pairs.images.whole, self.images[:held]])
        texts = torch.cat([pairs.texts.whole, self.texts[:held]])
        return Features(images), Features(texts), torch.cat([as_columns(pairs.labels), self.labels[:held]])
