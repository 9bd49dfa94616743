"""Muon: the momentum of a matrix, made orthogonal, is its step; what is no matrix gets AdamW's.

All directions of a matrix learn alike, those of little variance too, where AdamW first learns what is large. Written
here because torch's own works in bfloat16 alone, which processors without such units compute many times slower.
It knows nothing about which parameters a recipe gives to which.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEPS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration, by Keller Jordan: all singular values near 1
LIKE_ADAMW = 0.2  # the root mean square of AdamW's steps, usually (Liu et al., 2502.16982)


class Muon(torch.optim.AdamW):
    """Groups with ``orthogonal`` set get Muon's step (Jordan, 2024), scaled so that rates of AdamW fit; others AdamW's.

    ``momentum``: Nesterov's, of Muon's groups.
    """

    def __init__(self, params: Any, momentum: float = 0.95, **settings: Any) -> None:
        super().__init__(params, **settings)
        self.momentum = momentum

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        everything = self.param_groups
        matrices = [group for group in everything if group.get("orthogonal")]
        for group in matrices:
            self._orthogonal_step(group)
        self.param_groups = [group for group in everything if not group.get("orthogonal")]
        try:
            return super().step(closure)
        finally:
            self.param_groups = everything

    def _orthogonal_step(self, group: dict[str, Any]) -> None:
        alike: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
                state["step"] = torch.zeros(())  # AdamW looks for it in every state that it loads
            state["momentum"].lerp_(parameter.grad, 1 - self.momentum)
            wanted = parameter.grad.lerp(state["momentum"], self.momentum)
            alike[tuple(parameter.shape)].append((parameter, wanted))
        for shape, pairs in alike.items():
            steps = orthogonal(torch.stack([wanted for _, wanted in pairs]))
            for (parameter, _), step in zip(pairs, steps, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(step, alpha=-group["lr"] * LIKE_ADAMW * max(shape) ** 0.5)


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [n, rows, columns] with their singular values brought near 1, by a Newton-Schulz iteration."""
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.transpose(1, 2) if tall else matrices
    found = found / (found.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(STEPS):
        square = found @ found.transpose(1, 2)
        found = first * found + (third * square + fifth * (square @ square)) @ found
    return found.transpose(1, 2) if tall else found
