"""Symmetric contrastive loss in the batch (CLIP, 2103.00020; InfoNCE, 1807.03748), with several positives a row.

It knows scores and which are positive; it knows nothing about queues or encoders.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Similarity

from .objective import Result, batch_figures
from .pairs import Pairs
from .temperature import inverse_temperature


class Contrastive(nn.Module):
    """InfoNCE of every picture against all texts and of every text against all pictures, averaged.

    ``label_smoothing``, 0..1: that share of each row's target is spread over all candidates (1512.00567), so that
    few pictures are not learned by heart.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise SettingError(f"label_smoothing is {label_smoothing}: it must be from 0 to below 1.")
        self.label_smoothing = label_smoothing

    def forward(self, pairs: Pairs, similarity: Similarity, logit_scale: Tensor) -> Result:
        scale = inverse_temperature(logit_scale)
        logits = scale * similarity(pairs.images, pairs.texts)
        positive = pairs.positive
        loss = (self.one_way(logits, positive) + self.one_way(logits.T, positive.T)) / 2
        return Result(loss, batch_figures(logits, positive) | {"temperature": 1 / scale.detach()})

    def one_way(self, logits: Tensor, positive: Tensor) -> Tensor:
        """InfoNCE of rows against columns, smoothed."""
        loss = info_nce(logits, positive)
        if not self.label_smoothing:
            return loss
        return loss.lerp(-logits.log_softmax(dim=1).mean(), self.label_smoothing)


def info_nce(logits: Tensor, positive: Tensor) -> Tensor:
    """Mean over rows of InfoNCE, for logits and positives [rows, candidates] with at least one positive a row.

    For positives P and negatives N of a row: ``-1/|P| sum_p log(e^s_p / (e^s_p + sum_n e^s_n))``. As in SupCon's
    L_out (2004.11362, eq. 2) each positive has its own term and they are averaged; unlike there, the other
    positives stay out of the denominator, as in pytorch-metric-learning's NTXentLoss. With them in it, a positive
    that scores above the others is pushed away; without, no positive ever is. With one positive it is CLIP's loss.
    """
    # Finite: with -inf, a row that has no negatives would give NaN gradients.
    lowest = torch.finfo(logits.dtype).min / 4
    negatives = logits.masked_fill(positive, lowest).logsumexp(dim=1, keepdim=True)
    terms = -F.logsigmoid(logits - negatives) * positive
    return (terms.sum(dim=1) / positive.sum(dim=1)).mean()
