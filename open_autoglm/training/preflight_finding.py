"""What a look over the data gives back, and what it has to know of the training.

It knows nothing about how anything is found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
_RANKS: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """Something to change: ``what`` is wrong and the ``advice``, a sentence each, with some ``examples``.

    ``error``: the result would be wrong or the training would stop. ``warning``: it would be worse than it could be.
    ``count``: pictures, captions, rows or classes concerned.
    """

    kind: str
    severity: Severity
    what: str
    advice: str
    count: int = 0
    examples: tuple[str, ...] = ()

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return _RANKS.index(self.severity)

    def __str__(self) -> str:
        return "\n".join(
            [f"{self.severity}: {self.what} {self.advice}", *(f"  {example}" for example in self.examples)]
        )


@dataclass(frozen=True)
class BatchPlan:
    """What the recipe asks of the data.

    ``batch_size``: pictures that are compared with each other in a step, over all processes and with cached gradients.
    ``queue``: negatives kept from earlier steps. ``needs_repeats``: the objective learns from two pictures of one label
    in a batch (triplets). ``max_tokens``: what the text tower reads. ``scripts``: what its tokenizer knows, by the
    first word of the letters' Unicode names.
    """

    batch_size: int = 256
    queue: int = 0
    needs_repeats: bool = False
    max_tokens: int = 128
    scripts: tuple[str, ...] = ("LATIN",)
