"""What runs batches for the scheduler, by Protocol, and what comes back of them.

It knows tasks; it knows nothing of queues, processes or models.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ...errors import OpenAutoGLMError
from ..work import Served, Task


@dataclass(frozen=True)
class Batch:
    """Tasks of one kind for one model; ``alone``: nothing else may be in the hands of the process that takes it."""

    model: str
    tasks: tuple[Task, ...]
    alone: bool = False


@dataclass(frozen=True)
class Ran:
    """What became of one task: its value or its error, and the seconds it was in each stage."""

    value: Any = None
    error: Exception | None = None
    stages: Mapping[str, float] = field(default_factory=dict)

    @property
    def unforeseen(self) -> bool:
        """Whether it failed by no mistake that the task's sender can correct: its neighbours may be the cause."""
        return self.error is not None and not isinstance(self.error, OpenAutoGLMError)


@dataclass(frozen=True)
class Done:
    """A finished batch: what became of each task, in order, and the seconds of work it was."""

    results: Sequence[Ran]
    seconds: float


class ModelFailed(Exception):
    """The model failed on an item for a reason that is not the item's; the log has it."""

    def __init__(self) -> None:
        super().__init__("The model failed on this item; the server's log says why.")


class Runner(Protocol):
    """Runs batches, a bounded number of them at once, on one event loop."""

    @property
    def served(self) -> Sequence[Served]:
        """What it runs, the default first."""

    @property
    def parallel(self) -> int:
        """How many batches are worked on at the same time."""

    def free(self, alone: bool) -> bool:
        """Whether a batch would be taken now."""

    def run(self, batch: Batch) -> asyncio.Future[Done]:
        """Takes a batch; only while free. The future raises WorkerDied, or what else happened to all of it."""

    def when_free(self, tell: Callable[[], None]) -> None:
        """Calls ``tell`` when a batch may be taken again for another reason than that one was done."""

    async def close(self) -> None:
        """Ends what runs."""


class Unobserved:
    """An observer that nothing is told to."""

    def stage(
        self, name: str, model: str, task: str, seconds: float, trace: str = "", ended: float | None = None
    ) -> None:
        pass

    def batch(
        self,
        model: str,
        task: str,
        size: int,
        seconds: float = 0.0,
        traces: Sequence[str] = (),
        ended: float | None = None,
    ) -> None:
        pass

    def waiting(self, more: int) -> None:
        pass

    def restarted(self) -> None:
        pass


UNOBSERVED = Unobserved()
