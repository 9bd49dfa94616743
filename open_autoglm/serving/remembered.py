"""Models whose answers about pictures are remembered: what was worked out before is not asked of a worker again.

It knows jobs and a model that remembers; it knows nothing of where anything is kept, of queues or processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from anyio import CapacityLimiter, to_thread

from ..errors import OpenAutoGLMError
from .answering import ANSWERS
from .work import Expired, Job, Models, Outcome, Served, WorkerDied, asking

if TYPE_CHECKING:
    from ..runtime.model import Model

_AT_ONCE = 64  # threads, each of which waits for a worker most of its time


class RememberedModels:
    """Implements ``work.Models`` over others. ``remembering`` gives a served model that remembers for a tenant.

    Vectors go straight to the workers: a program that wants them twice keeps them.
    """

    def __init__(self, models: Models, remembering: Callable[[str, str], Model]) -> None:
        self._models, self._remembering = models, remembering
        self._limiter: CapacityLimiter | None = None

    @property
    def served(self) -> Sequence[Served]:
        return self._models.served

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """As ``work.Models`` says."""
        by_name = {one.name: one for one in self.served}
        known = [by_name.get(job.model) if job.model else self.served[0] for job in jobs]
        if any(served is None or type(job.task) not in ANSWERS for job, served in zip(jobs, known, strict=True)):
            return await self._models.answer(jobs)
        return list(
            await asyncio.gather(
                *(self._outcome(job, served) for job, served in zip(jobs, known, strict=True) if served is not None)
            )
        )

    async def _outcome(self, job: Job, served: Served) -> Outcome:
        model = self._remembering(served.name, job.caller.tenant)
        asking.set(job.trace)  # for what the thread asks of the workers; this is a task of its own
        if self._limiter is None:  # which belongs to the event loop
            self._limiter = CapacityLimiter(_AT_ONCE)
        try:
            value = await to_thread.run_sync(ANSWERS[type(job.task)], model, job.task, limiter=self._limiter)
        except (OpenAutoGLMError, Expired, WorkerDied) as error:
            return Outcome(served.name, served.space, error=error)
        return Outcome(served.name, served.space, value)
