"""Pairwise sigmoid loss (SigLIP, 2303.15343): every picture and text is a yes-or-no question of its own.

It knows nothing about the batch beyond its scores: there is no softmax, so positives never compete.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.modeling.similarity import Similarity

from .objective import Result, batch_figures
from .pairs import Pairs
from .temperature import inverse_temperature


class SigLIP(nn.Module):
    """``-1/B sum_ij log sigmoid(z_ij (scale s_ij + bias))`` with z = 1 for every positive and -1 otherwise.

    The paper's algorithm 1; several positives a row need no change, as it has a term for each cell. ``logit_bias``
    is learned and starts at -10; start the model's ``logit_scale`` at log 10 with it.
    """

    def __init__(self, bias: float = -10.0) -> None:
        super().__init__()
        self.logit_bias = nn.Parameter(torch.tensor(float(bias)))

    def forward(self, pairs: Pairs, similarity: Similarity, logit_scale: Tensor) -> Result:
        scale = inverse_temperature(logit_scale)
        logits = scale * similarity(pairs.images, pairs.texts) + self.logit_bias
        positive = pairs.positive
        signs = positive.to(logits.dtype) * 2 - 1
        loss = -F.logsigmoid(signs * logits).sum() / len(pairs)
        figures = batch_figures(logits, positive)
        return Result(loss, figures | {"temperature": 1 / scale.detach(), "bias": self.logit_bias.detach().clone()})
