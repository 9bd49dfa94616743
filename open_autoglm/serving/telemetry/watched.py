"""Models that are watched: what is asked of them is counted by model and outcome, and has a span.

It knows whoever answers jobs, by Protocol, and passes on all that they say; it knows nothing of how they work.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from ...errors import ImageError, SettingError, TextError
from ..work import Expired, Job, Models, Outcome, Overloaded, Served, Task, UnknownModel, WorkerDied
from . import genai
from .request import current
from .spans import Attributes, Span

if TYPE_CHECKING:
    from .telemetry import Telemetry

_RESULTS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("mistake", (ImageError, SettingError, TextError, UnknownModel)),
    ("refused", (Overloaded,)),
    ("expired", (Expired,)),
    ("died", (WorkerDied,)),
    ("cancelled", (asyncio.CancelledError,)),
)
_FAULTS = frozenset({"expired", "died", "failed"})


def result(error: BaseException | None) -> str:
    """What became of a job, in a word."""
    if error is None:
        return "ok"
    return next((word for word, kinds in _RESULTS if isinstance(error, kinds)), "failed")


class WatchedModels:
    """``models``, watched by ``telemetry``."""

    def __init__(self, models: Models, telemetry: Telemetry) -> None:
        self._models, self._telemetry = models, telemetry

    @property
    def served(self) -> Sequence[Served]:
        return self._models.served

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """As Models says."""
        if not jobs:
            return await self._models.answer(jobs)
        asked = _Asked(jobs, self._telemetry, self._default)
        try:
            outcomes = await self._models.answer(asked.traced)
        except BaseException as error:
            asked.failed(error)
            raise
        # After the reply, which the event loop still has to come to.
        asyncio.get_running_loop().call_soon(asked.answered, outcomes)
        return outcomes

    @property
    def _default(self) -> str:
        served = self._models.served
        return served[0].name if served else ""


class _Asked:
    """Jobs of one request that are with the models."""

    def __init__(self, jobs: Sequence[Job], telemetry: Telemetry, default: str) -> None:
        self._jobs, self._telemetry, self._seen = jobs, telemetry, current()
        self._wanted = telemetry.model_label(jobs[0].model or default)
        attributes = genai.asked(jobs, self._wanted)
        parent = self._seen.parent if self._seen is not None else None
        name = f"{attributes['gen_ai.operation.name']} {self._wanted}"
        self.span: Span = telemetry.tracing.start(name, parent, attributes)
        if self._seen is not None:
            self._seen.model = self._wanted
            if telemetry.settings.log_content:
                self._seen.texts += [text for job in jobs for text in texts(job.task)]

    @property
    def traced(self) -> Sequence[Job]:
        """The jobs, below this span where that is recorded."""
        own = self.span.own
        return [replace(job, trace=own.header) for job in self._jobs] if own.sampled else self._jobs

    def answered(self, outcomes: Sequence[Outcome]) -> None:
        found = Counter(
            (outcome.model, genai.task_name(job.task), result(outcome.error))
            for job, outcome in zip(self._jobs, outcomes, strict=False)
        )
        for (model, task, word), count in found.items():
            self._telemetry.answered(model, task, word, count)
        if self._seen is not None and outcomes:
            self._seen.model = self._telemetry.model_label(outcomes[0].model)
        self._end(genai.answered(outcomes), any(word in _FAULTS for _, _, word in found))

    def failed(self, error: BaseException) -> None:
        word = result(error)
        for task, count in Counter(genai.task_name(job.task) for job in self._jobs).items():
            self._telemetry.answered(self._wanted, task, word, count)
        self._end({"error.type": type(error).__name__}, word in _FAULTS)

    def _end(self, attributes: Attributes, failed: bool) -> None:
        """Ends the span, within a request only when that is answered: its tokens are counted in between."""
        end = partial(self.span.end, failed=failed, ended=time.time())
        if self._seen is None:
            end(attributes)
        elif self._telemetry.tracing.recording:
            self._seen.defer(lambda known: end({**attributes, **known}))


def texts(task: Task) -> list[str]:
    """What a task says in words."""
    words: list[str] = []
    for name in ("text", "question"):
        words += [said] if (said := getattr(task, name, "")) else []
    for name in ("texts", "choices", "labels"):
        words += getattr(task, name, None) or ()
    return words
