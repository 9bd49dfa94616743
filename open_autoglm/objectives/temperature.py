"""The learned temperature, kept by the model as ``logit_scale``: the logarithm of its inverse (CLIP, 2103.00020).

It knows nothing about losses.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

MAX_SCALE = 100.0
LIMIT = math.log(MAX_SCALE)


def inverse_temperature(logit_scale: Tensor) -> Tensor:
    """``exp(logit_scale)``, at most 100.

    The gradient passes the clamp: a scale that has reached the limit can still come down.
    """
    return (logit_scale.detach().clamp(max=LIMIT) + (logit_scale - logit_scale.detach())).exp()


@torch.no_grad()
def clamp_temperature_(logit_scale: Tensor) -> None:
    """Brings the parameter itself back to the limit; call it after each optimiser step, as CLIP's training does."""
    logit_scale.clamp_(max=LIMIT)
