"""What is asked of a served model and what comes back: one job an item, so one bad picture never fails its neighbours.

It knows the kinds of work and who answers them by Protocol; it knows nothing of queues, processes or HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .caller import ANONYMOUS, Caller

asking: ContextVar[str] = ContextVar("asking", default="")  # the W3C traceparent of the span that asks, if recorded


@dataclass(frozen=True)
class EmbedImage:
    """A picture's bytes; answered with its vector, float32 [dimension], unit length."""

    content: bytes


@dataclass(frozen=True)
class EmbedViews:
    """A picture's bytes; answered with the vectors that an index keeps of it, float32 [views, dimension]."""

    content: bytes


@dataclass(frozen=True)
class EmbedText:
    """A text; answered with its vector, float32 [dimension], unit length."""

    text: str


@dataclass(frozen=True)
class EmbedQuery:
    """A text to search with; answered with Queries of one, as Model.embed_queries gives them."""

    text: str


@dataclass(frozen=True)
class Ask:
    """A question about a picture; answered with an Answer."""

    content: bytes
    question: str
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Ground:
    """Something to find in a picture; answered with a Grounding."""

    content: bytes
    text: str


@dataclass(frozen=True)
class Classify:
    """Labels for a picture; answered with label -> probability."""

    content: bytes
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """Texts for a picture; answered with the probability of each that it belongs to it, float32 [texts]."""

    content: bytes
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Describe:
    """A picture to describe; answered with a Description."""

    content: bytes


@dataclass(frozen=True, eq=False)
class RunGraph:
    """Arrays for one of the bundle's graphs; answered with the ``outputs`` named, or the first where none is.

    What works in parts, such as a model that remembers some of them, asks for the rest by this.
    """

    graph: str
    outputs: tuple[str, ...]
    inputs: Mapping[str, NDArray[np.generic]]


Task = EmbedImage | EmbedViews | EmbedText | EmbedQuery | Ask | Ground | Classify | Match | Describe | RunGraph

EMBEDDINGS = (EmbedImage, EmbedQuery, EmbedText, EmbedViews)  # answered with vectors, which go with others of a space


@dataclass(frozen=True)
class Job:
    """One item of a request: its task, the served model that is to do it ("" for the default), and for whom.

    ``sticky`` is whose requests stay with one version while a rollout runs; ``seconds`` is how long the answer is
    worth anything: a job that waits longer is given up. ``trace`` is the span that asks, as in ``asking``.
    """

    task: Task
    model: str = ""
    caller: Caller = ANONYMOUS
    sticky: str = ""
    seconds: float = 30.0
    trace: str = field(default_factory=asking.get)


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its value or its error, and the model and embedding space that answered."""

    model: str
    space: str
    value: Any = None
    error: Exception | None = None

    def get(self) -> Any:
        """The value. Raises the job's error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True)
class Served:
    """A model that is served: its name, embedding space, dimension, and which kinds of work it does."""

    name: str
    space: str
    dimension: int
    tasks: tuple[type[Task], ...]


class Models(Protocol):
    """Whatever answers jobs: a scheduler over workers, a rollout over that."""

    @property
    def served(self) -> Sequence[Served]:
        """What is served, the default first; another object whenever that has changed."""

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome a job, in order. Raises Overloaded for all of them or none, and UnknownModel."""


class Overloaded(Exception):
    """So much waits already that these jobs are refused; ``retry_after`` seconds say when to come again."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"Too much waits before this request: try again in {max(1, round(retry_after))} s.")
        self.retry_after = retry_after


class UnknownModel(Exception):
    """A model of that name is not served."""


class WorkerDied(Exception):
    """The process that worked on this job died; others go on."""


class Expired(Exception):
    """The job waited or ran longer than its answer was worth anything."""


class Observer(Protocol):
    """Told what serving does, to count and time it.

    ``trace`` is that of the job, ``traces`` those of a batch's jobs, in any order. ``ended`` is when it was over, as
    time.time() gives it, and None means now: what a worker did is told only when its answer is there.
    """

    def stage(
        self, name: str, model: str, task: str, seconds: float, trace: str = "", ended: float | None = None
    ) -> None:
        """One item was in a stage for so long: ``queue``, ``decode``, ``inference``, ``encode``."""

    def batch(
        self,
        model: str,
        task: str,
        size: int,
        seconds: float = 0.0,
        traces: Sequence[str] = (),
        ended: float | None = None,
    ) -> None:
        """So many items ran at once, for so long."""

    def waiting(self, more: int) -> None:
        """So many jobs more wait now than before, or fewer."""

    def restarted(self) -> None:
        """A worker died and was started again."""
