"""Which wrong texts and pictures a matching objective learns from: the likelier, the closer the alignment has them.

It knows scores and keys; it knows nothing about models or how a match is judged.
"""

from __future__ import annotations

import torch
from torch import Tensor


def hard_negatives(logits: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """For each row one column that is no positive, drawn by the softmax of the row's logits (ALBEF, 2107.07651).

    ``logits`` and ``positive`` are [rows, columns]. Returns the rows that have a negative at all, and the column of
    each, int64 [r].
    """
    rows = (~positive).any(dim=1).nonzero().squeeze(1)
    chances = logits[rows].float().masked_fill(positive[rows], -torch.inf).softmax(dim=1)
    if not len(rows):
        return rows, rows
    return rows, torch.multinomial(chances, 1).squeeze(1)
