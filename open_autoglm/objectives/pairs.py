"""A batch of encoded pairs, and which of its pictures and texts belong together.

It knows vectors and keys; it knows nothing about models, losses or where the pairs came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Features, join


@dataclass(frozen=True)
class Pairs:
    """Picture i belongs to text i, and to every text j whose pair shares a key with pair i.

    - ``images``, ``texts``: unit vectors [B, d] of both sides, with their regions and words where they are needed.
    - ``labels``: integer keys [B], or [B, K] for several kinds of them (picture, caption, class): two pairs are
      positives of each other where any column is equal. A key below 0 stands for none and matches nothing.
    - ``targets``: the same pairs encoded by the momentum encoder, without gradients.
    """

    images: Features
    texts: Features
    labels: Tensor
    targets: Pairs | None = None

    def __post_init__(self) -> None:
        counts = {len(self.images.whole), len(self.texts.whole), len(self.labels)}
        if len(counts) != 1 or self.labels.is_floating_point():
            raise SettingError("A batch needs as many pictures as texts as labels, and labels that are whole numbers.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def positive(self) -> Tensor:
        """Which text belongs to which picture, [B, B] bool, symmetric; a pair always belongs to itself."""
        return shares_key(self.labels, self.labels).fill_diagonal_(True)

    @property
    def vectors(self) -> list[Tensor]:
        """The tensors of both sides that carry gradients, in a fixed order."""
        return [*self.images.vectors, *self.texts.vectors]

    def map(self, change: Callable[[Tensor], Tensor]) -> Pairs:
        """The same with every tensor changed: vectors, masks, labels and targets."""
        targets = self.targets and self.targets.map(change)
        return Pairs(self.images.map(change), self.texts.map(change), change(self.labels), targets)


def shares_key(rows: Tensor, columns: Tensor) -> Tensor:
    """Which of two lists of keys, [R] and [C] or [R, K] and [C, K], have one in common: [R, C] bool."""
    left, right = as_columns(rows)[:, None], as_columns(columns)[None]
    return ((left == right) & (left >= 0)).any(dim=-1)


def as_columns(labels: Tensor) -> Tensor:
    """Keys [B] or [B, K] as [B, K]."""
    return labels[:, None] if labels.ndim == 1 else labels


def concatenate(batches: Sequence[Pairs]) -> Pairs:
    """Several batches as one; regions and words are padded to the most there are. Targets are left out."""
    return Pairs(
        join([batch.images for batch in batches]),
        join([batch.texts for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
    )
