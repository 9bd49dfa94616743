"""What every objective is, what it returns, and the figures that several of them report.

It knows nothing about any one loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from open_autoglm.modeling.similarity import Similarity

from .pairs import Pairs


@dataclass(frozen=True)
class Result:
    """A loss to minimise, and figures for the progress bar: scalars without gradients, read where they are shown."""

    loss: Tensor
    figures: dict[str, Tensor]


class Objective(Protocol):
    """An ``nn.Module``: what it has learned or remembers (bias, queue, step, monitor) is in its state dict.

    In training mode a call may also move that memory on by one batch, as batch normalisation moves its running
    statistics; in evaluation mode a call changes nothing. ``logit_scale`` is the model's, the logarithm of the
    inverse temperature; objectives that have no temperature leave it alone.
    """

    def __call__(self, pairs: Pairs, similarity: Similarity, logit_scale: Tensor) -> Result: ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...


@torch.no_grad()
def batch_figures(scores: Tensor, positive: Tensor) -> dict[str, Tensor]:
    """R@1 within the batch both ways, 0..1, of scores and positives [pictures, texts]."""
    text, image = scores.argmax(dim=1), scores.argmax(dim=0)
    return {
        "image_to_text_r1": positive.gather(1, text[:, None]).float().mean(),
        "text_to_image_r1": positive.gather(0, image[None]).float().mean(),
    }


def warmed_up(value: float, step: int, steps: int) -> float:
    """A setting that rises linearly from 0 at step 0 to ``value`` at ``steps``."""
    return value * min(1.0, step / steps) if steps else value
