"""Triplet loss with online mining, a margin that warms up, and a way back when hard mining collapses.

It knows nothing about how negatives are mined or what counts as a collapse.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Similarity

from .collapse import CollapseMonitor
from .mining import MINERS
from .objective import Result, batch_figures, warmed_up
from .pairs import Pairs


class Triplet(nn.Module):
    """``max(0, margin + d(anchor, positive) - d(anchor, negative))``, d = 1 - similarity, both ways, averaged.

    Each picture is an anchor among the texts and each text among the pictures (VSE++, 1707.05612). Every text that
    shares a key with an anchor is a positive with its own triplet and never a negative; an anchor's triplets are
    averaged. ``mining`` is ``none``, ``semi_hard`` or ``hard``. The margin rises linearly from 0 over
    ``warmup_steps`` batches. While the collapse monitor reports a collapse, ``hard`` mines semi-hard triplets.
    """

    step: Tensor

    def __init__(
        self,
        margin: float = 0.5,
        warmup_steps: int = 500,
        mining: str = "hard",
        collapse_low: float = 0.05,
        collapse_high: float = 0.1,
    ) -> None:
        super().__init__()
        if mining not in MINERS:
            raise SettingError(f"There is no mining {mining!r}; choose one of {', '.join(MINERS)}.")
        if margin <= 0 or warmup_steps < 0:
            raise SettingError(
                f"A triplet loss needs a margin above 0 and warm-up of 0 or more, not {margin} and {warmup_steps}."
            )
        self.margin = margin
        self.warmup_steps = warmup_steps
        self.mining = mining
        self.monitor = CollapseMonitor(collapse_low, collapse_high)
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, pairs: Pairs, similarity: Similarity, logit_scale: Tensor) -> Result:
        if self.training:
            self.monitor.watch(pairs.images.whole, pairs.texts.whole)
        margin = warmed_up(self.margin, int(self.step), self.warmup_steps)
        mine = MINERS["semi_hard" if self.mining == "hard" and self.monitor.collapsed else self.mining]
        scores, positive = similarity(pairs.images, pairs.texts), pairs.positive
        costs = (mine(scores, positive, margin), mine(scores.T, positive, margin))
        own = positive.sum(dim=1, keepdim=True, dtype=scores.dtype).expand_as(scores)[positive]
        loss = sum((cost / own).sum() for cost in costs) / (2 * len(pairs))
        active = sum((cost.detach() > 0).float().mean() for cost in costs) / 2
        figures = batch_figures(scores, positive) | {
            "margin": torch.tensor(margin),
            "active_triplets": torch.as_tensor(active),
            "spread": self.monitor.spread.clone(),
            "collapsed": self.monitor.collapsed.float(),
        }
        if self.training:
            self.step += 1
        return Result(torch.as_tensor(loss), figures)
