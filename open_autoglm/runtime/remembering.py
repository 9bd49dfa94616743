"""Where a memory comes in: what was computed of a picture is asked for by name before it is computed again.

It knows what a memory is asked; it knows nothing of where anything is kept, and of itself keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from .decoding import ImageSource

T = TypeVar("T")


class Memory(Protocol):
    """Gives what was computed before, or computes it now. What it gives is not to be changed."""

    def recall(self, image: ImageSource, about: Sequence[str], compute: Callable[[], T]) -> T:
        """What ``compute`` gives for a picture; ``about`` names it, and all it depends on beside picture and model."""

    def recall_run(
        self, image: ImageSource, abouts: Sequence[Sequence[str]], compute: Callable[[list[T]], list[T]]
    ) -> list[T]:
        """As ``recall`` for things of which each follows from those before: ``compute`` goes on from what is known."""


class Forgetful:
    """Computes everything each time."""

    def recall(self, image: ImageSource, about: Sequence[str], compute: Callable[[], T]) -> T:
        return compute()

    def recall_run(
        self, image: ImageSource, abouts: Sequence[Sequence[str]], compute: Callable[[list[T]], list[T]]
    ) -> list[T]:
        return compute([])


FORGETFUL = Forgetful()
