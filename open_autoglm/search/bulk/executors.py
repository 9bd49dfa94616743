"""Who does the parts: this process, or whatever else fits the same shape.

It knows that a worker turns a part into written rows; it knows nothing about either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..ingest import readers
from .dataset import DatasetFacts, Written
from .parts import Part
from .work import Worker

if TYPE_CHECKING:
    from ...runtime.model import Model


class Executor(Protocol):
    """Does parts somewhere, in any order; the same parts come to the same rows with every executor."""

    def run(self, address: str, facts: DatasetFacts, parts: Sequence[Part]) -> Iterator[Written]:
        """Each part's rows as soon as they are written."""


@dataclass(frozen=True)
class InProcess:
    """One part after the other, with all of this machine's cores."""

    model: Model

    def run(self, address: str, facts: DatasetFacts, parts: Sequence[Part]) -> Iterator[Written]:
        """The parts in their order."""
        return map(Worker(address, facts, self.model, readers()), parts)
