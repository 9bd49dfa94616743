"""How a tower's features reach the shared space.

Every head maps [..., hidden] to [..., projection_dim]; making the result unit length is the model's job.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .configuration import OpenAutoGLMConfig
from .similarity import unit


class ImageConcepts(nn.Module):
    """What a picture shows by its class scores and, with ``appearance_dim``, how it looks; two unit vectors in one.

    - Meaning: the class scores, softened and mixed over ``vectors`` [concepts, d], the place of each class's name
      (ConSE, arXiv 1312.5650). Only the ``top_k`` best classes take part. ``classifier`` is the tower's own last layer.
    - Appearance: the features along the directions in which the classifier tells classes apart.
    """

    def __init__(self, hidden: int, config: OpenAutoGLMConfig) -> None:
        super().__init__()
        self.classifier = nn.Linear(hidden, config.concepts)
        self.vectors = nn.Parameter(torch.zeros(config.concepts, config.projection_dim - config.appearance_dim))
        self.appearance = nn.Linear(hidden, config.appearance_dim, bias=False) if config.appearance_dim else None
        self.temperature = config.concept_temperature
        self.top_k = min(config.concept_top_k, config.concepts)

    def forward(self, features: Tensor) -> Tensor:
        weights = (self.classifier(features) / self.temperature).softmax(dim=-1)
        least = weights.topk(self.top_k, dim=-1).values[..., -1:]
        mixed: Tensor = torch.where(weights >= least, weights, torch.zeros_like(weights)) @ self.vectors
        return mixed if self.appearance is None else halves(mixed, self.appearance(features))

    def strength(self, features: Tensor) -> Tensor:
        """How much there is to see [..., 1], before either half is made unit length."""
        seen = self.classifier if self.appearance is None else self.appearance
        length: Tensor = seen(features).norm(dim=-1, keepdim=True)
        return length


class TextConcepts(nn.Module):
    """What a sentence means, and how what it names would look, for ``ImageConcepts`` with an ``appearance_dim``.

    - Meaning: ``wording`` takes away what only tells how a sentence is worded, ``place`` keeps the directions in which
      names differ.
    - Appearance: kernel regression from the places of the classes' names, ``names`` [concepts, d], and of others,
      ``added`` [added_names, d], to the directions of their classifiers: ``looks`` [n, appearance_dim] holds the solved
      coefficients of both; the kernel is Gaussian, of ``concept_width``.
    """

    def __init__(self, hidden: int, config: OpenAutoGLMConfig) -> None:
        super().__init__()
        meaning = config.projection_dim - config.appearance_dim
        self.wording = nn.Linear(hidden, hidden)
        self.place = nn.Linear(hidden, meaning)
        self.names = nn.Parameter(torch.zeros(config.concepts, meaning))
        self.added = nn.Parameter(torch.zeros(config.added_names, meaning)) if config.added_names else None
        self.looks = nn.Parameter(torch.zeros(config.concepts + config.added_names, config.appearance_dim))
        self.width = config.concept_width

    def forward(self, features: Tensor) -> Tensor:
        meaning = self.meaning(features)
        return halves(meaning, self.closeness(meaning) @ self.looks)

    def meaning(self, features: Tensor) -> Tensor:
        """Unit vectors [..., d] of sentences' features [..., hidden]."""
        return unit(self.place(unit(self.wording(features))))

    def closeness(self, meaning: Tensor) -> Tensor:
        """The kernel [..., n] between unit vectors [..., d] and the names."""
        alike = meaning @ self.names.T
        if self.added is not None:
            alike = torch.cat([alike, meaning @ self.added.T], dim=-1)
        return torch.exp((alike - 1) / self.width**2)


def halves(one: Tensor, other: Tensor) -> Tensor:
    """Two vectors as one in which both count alike."""
    return torch.cat([unit(one), unit(other)], dim=-1)


def strength(head: nn.Module, features: Tensor) -> Tensor:
    """How strongly features [..., hidden] speak for anything, [..., 1]: the length that a head gives them."""
    if isinstance(head, ImageConcepts):
        return head.strength(features)
    length: Tensor = head(features).norm(dim=-1, keepdim=True)
    return length


def make_head(kind: str, hidden: int, config: OpenAutoGLMConfig, concepts: type[nn.Module]) -> nn.Module:
    """The head named ``linear``, ``affine``, ``none`` or ``concepts``, which is another for each side."""
    if kind == "concepts":
        return concepts(hidden, config)
    if kind == "none":
        return nn.Identity()
    return nn.Linear(hidden, config.projection_dim, bias=kind == "affine")
