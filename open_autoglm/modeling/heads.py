"""How a tower's features reach the shared space.

Every head maps [..., hidden] to [..., projection_dim]; making the result unit length is the model's job.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .configuration import OpenAutoGLMConfig


class ConceptHead(nn.Module):
    """Class scores, softened and mixed over the classes' vectors in the shared space (ConSE, arXiv 1312.5650).

    ``classifier`` is the tower's own classification layer, ``vectors`` [concepts, projection_dim] the place of each
    class's name in the shared space. Only the ``top_k`` best classes take part.
    """

    def __init__(self, hidden: int, config: OpenAutoGLMConfig) -> None:
        super().__init__()
        self.classifier = nn.Linear(hidden, config.concepts)
        self.vectors = nn.Parameter(torch.zeros(config.concepts, config.projection_dim))
        self.temperature = config.concept_temperature
        self.top_k = min(config.concept_top_k, config.concepts)

    def forward(self, features: Tensor) -> Tensor:
        weights = (self.classifier(features) / self.temperature).softmax(dim=-1)
        least = weights.topk(self.top_k, dim=-1).values[..., -1:]
        mixed: Tensor = torch.where(weights >= least, weights, torch.zeros_like(weights)) @ self.vectors
        return mixed


def make_head(kind: str, hidden: int, config: OpenAutoGLMConfig) -> nn.Module:
    """The head named ``linear``, ``affine``, ``none`` or ``concepts``."""
    if kind == "concepts":
        return ConceptHead(hidden, config)
    if kind == "none":
        return nn.Identity()
    return nn.Linear(hidden, config.projection_dim, bias=kind == "affine")
