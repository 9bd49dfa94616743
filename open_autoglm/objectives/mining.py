"""Which negatives a triplet loss learns from: all, the hardest, or the semi-hard ones, found online in the batch.

Each strategy maps scores and positives [anchors, candidates], higher is closer, and a margin, to the hinge
``max(0, margin - positive + negative)`` of every positive cell [P], in the order of ``positive.nonzero()``. An
anchor without negatives costs 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Miner = Callable[[Tensor, Tensor, float], Tensor]
# Cells [positives, candidates] that the search for semi-hard negatives compares at a time: 64 MiB of float32.
BLOCK_CELLS = 1 << 24


def all_negatives(scores: Tensor, positive: Tensor, margin: float) -> Tensor:
    """The mean hinge over all negatives: no mining."""
    candidates = scores.shape[1]
    ranked = scores.masked_fill(positive, _lowest(scores)).sort(dim=1).values
    masked = positive.sum(dim=1, keepdim=True)
    # Those above positive - margin cost something: the sum of the hinges is the sum of that tail less its threshold.
    kept = ranked.where(torch.arange(candidates, device=ranked.device) >= masked, 0)
    tails = torch.cat([kept.flip(1).cumsum(1).flip(1), torch.zeros_like(kept[:, :1])], dim=1)
    threshold = scores - margin
    first = torch.searchsorted(ranked.detach().contiguous(), threshold.detach().contiguous(), right=True)
    sums = tails.gather(1, first) - (candidates - first) * threshold
    return (sums.clamp(min=0) / (candidates - masked).clamp(min=1))[positive]


def hardest(scores: Tensor, positive: Tensor, margin: float) -> Tensor:
    """The closest negative (VSE++, 1707.05612)."""
    negative = scores.masked_fill(positive, _lowest(scores)).amax(dim=1, keepdim=True)
    return (margin - scores + negative).clamp(min=0)[positive]


def semi_hard(scores: Tensor, positive: Tensor, margin: float) -> Tensor:
    """The closest negative that is farther than the positive (FaceNet, 1503.03832, section 3.2).

    Where every negative is closer than the positive, the farthest of them, as TensorFlow Addons'
    ``triplet_semihard_loss`` has it.
    """
    anchors, own = positive.nonzero(as_tuple=True)
    rows = max(1, BLOCK_CELLS // scores.shape[1])
    blocks = zip(anchors.split(rows), own.split(rows), strict=True)
    chosen = torch.cat([_semi_hard_negatives(scores.detach(), positive, *block) for block in blocks])
    hinges = (margin - scores[anchors, own] + scores[anchors, chosen]).clamp(min=0)
    return hinges * (~positive).any(dim=1)[anchors]


def _semi_hard_negatives(scores: Tensor, positive: Tensor, anchors: Tensor, own: Tensor) -> Tensor:
    """The candidate [P] that is mined for each anchor and its positive [P]; of no meaning where there is none."""
    lowest = _lowest(scores)
    closer = scores[anchors] >= scores[anchors, own][:, None]
    best = scores[anchors].masked_fill(positive[anchors] | closer, lowest).max(dim=1)
    farthest = scores.masked_fill(positive, -lowest).argmin(dim=1)[anchors]
    return torch.where(best.values > lowest, best.indices, farthest)


def _lowest(scores: Tensor) -> float:
    return torch.finfo(scores.dtype).min / 4


MINERS: Mapping[str, Miner] = {"none": all_negatives, "semi_hard": semi_hard, "hard": hardest}
