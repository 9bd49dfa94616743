"""A weighted sum of several objectives, itself an objective.

It knows nothing about what it adds up.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Similarity

from .objective import Result
from .pairs import Pairs


class WeightedSum(nn.Module):
    """``sum_k weight_k loss_k``; each part's figures and its unweighted loss are reported as ``part/figure``."""

    def __init__(self, parts: Mapping[str, nn.Module], weights: Mapping[str, float]) -> None:
        super().__init__()
        if not parts or set(parts) != set(weights) or min(weights.values()) < 0:
            raise SettingError(
                "A weighted sum needs at least one objective and a weight of 0 or more for each of them."
            )
        self.parts = nn.ModuleDict(dict(parts))
        self.weights = dict(weights)

    def forward(self, pairs: Pairs, similarity: Similarity, logit_scale: Tensor) -> Result:
        results: dict[str, Result] = {
            name: objective(pairs, similarity, logit_scale) for name, objective in self.parts.items()
        }
        loss = torch.stack([self.weights[name] * result.loss for name, result in results.items()]).sum()
        figures = {f"{name}/{key}": value for name, result in results.items() for key, value in result.figures.items()}
        return Result(loss, figures | {f"{name}/loss": result.loss.detach() for name, result in results.items()})
