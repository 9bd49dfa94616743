"""Answers jobs in this process, one after the other on threads: the smallest ``work.Models`` there is.

It knows models by name; it knows nothing of batches across requests, of other processes or of HTTP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio import CapacityLimiter, to_thread

from open_autoglm.errors import OpenAutoGLMError
from open_autoglm.serving.answering import ANSWERS
from open_autoglm.serving.work import (
    Ask,
    Classify,
    Describe,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    Expired,
    Ground,
    Job,
    Match,
    Outcome,
    Overloaded,
    Served,
    Task,
    UnknownModel,
)

if TYPE_CHECKING:
    from open_autoglm.runtime.model import Model

WAITING = 256  # jobs

WORK: Mapping[type, Callable[[Any, Any], Any]] = {
    EmbedImage: lambda model, task: model.embed_images([task.content])[0],
    EmbedViews: lambda model, task: model.embed_views(task.content),
    EmbedText: lambda model, task: model.embed_texts([task.text])[0],
    EmbedQuery: lambda model, task: model.embed_queries([task.text]),
    **ANSWERS,
}


class Direct:
    """``models`` gives them by name, the default first, when they are first needed.

    ``threads`` jobs run at once, and at most ``waiting`` are taken on.
    """

    def __init__(
        self,
        models: Callable[[], Mapping[str, Model]],
        threads: int = 2,
        waiting: int = WAITING,
    ) -> None:
        self._given = models
        self._threads, self._waiting, self._taken = threads, waiting, 0

    @cached_property
    def _models(self) -> dict[str, Model]:
        return dict(self._given())

    @cached_property
    def _limiter(self) -> CapacityLimiter:
        return CapacityLimiter(self._threads)

    @cached_property
    def served(self) -> Sequence[Served]:
        return [served(name, model) for name, model in self._models.items()]

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        for job in jobs:
            if job.model and job.model not in self._models:
                raise UnknownModel(f"There is no model {job.model!r} here; there is {', '.join(self._models)}.")
        if self._taken + len(jobs) > self._waiting:
            raise Overloaded(math.ceil(self._taken / self._threads / 20))
        self._taken += len(jobs)
        try:
            if len(jobs) == 1:
                return [await self._outcome(jobs[0])]
            outcomes: list[Outcome] = cast(list[Outcome], [None] * len(jobs))

            async def put(place: int) -> None:
                outcomes[place] = await self._outcome(jobs[place])

            async with anyio.create_task_group() as group:
                for place in range(len(jobs)):
                    group.start_soon(put, place)
            return outcomes
        finally:
            self._taken -= len(jobs)

    async def _outcome(self, job: Job) -> Outcome:
        name = job.model or next(iter(self._models))
        model = self._models[name]
        try:
            with anyio.fail_after(job.seconds):
                value = await to_thread.run_sync(WORK[type(job.task)], model, job.task, limiter=self._limiter)
        except TimeoutError:
            return Outcome(name, model.space, error=Expired(f"The answer did not come within {job.seconds:g} s."))
        except OpenAutoGLMError as error:
            return Outcome(name, model.space, error=error)
        return Outcome(name, model.space, value)


def served(name: str, model: Model) -> Served:
    """A model under its name, with the kinds of work that its bundle has the graphs for."""
    return Served(name, model.space, model.dimension, tuple(_tasks(model)))


def _tasks(model: Any) -> list[type[Task]]:
    facts = getattr(model.bundle, "manifest", None)
    tasks: list[type[Task]] = [EmbedImage, EmbedViews, EmbedText, EmbedQuery]
    if facts is not None:
        tasks += [Ask, Classify]
        tasks += [Ground] if facts.cells else []
        tasks += [Match] if facts.fusion.get("match") else []
        tasks += [Describe] if facts.generation else []
    return tasks
