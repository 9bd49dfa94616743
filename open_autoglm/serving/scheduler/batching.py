"""The scheduler: jobs of many requests wait in one bounded queue and run in batches of one kind of work.

It knows costs, deadlines and whose turn it is; it knows nothing of processes, models or HTTP.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import count

from ...errors import ImageError, OpenAutoGLMError, SettingError
from ...runtime.decoding import DEFAULT_LIMITS, ImageLimits
from ..work import (
    Classify,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    Expired,
    Job,
    Observer,
    Outcome,
    Overloaded,
    RunGraph,
    Served,
    UnknownModel,
    WorkerDied,
)
from ..workers.running import Batch, Done, ModelFailed, Ran, Runner
from ..workers.settings import WorkerSettings
from .costs import Cost, Pace, cost
from .in_hand import InHand
from .lanes import Lane, Lanes, Waiting
from .suspects import Suspects

_NEED_VECTORS = (EmbedImage, EmbedViews, EmbedText, EmbedQuery, Classify)
_LONGEST_RETRY = 60.0  # seconds that a refused request is told to stay away, at most


class Scheduler:
    """Answers jobs on one event loop; implements ``work.Models``.

    What waits runs as soon as the runner takes a batch. Tenants take turns. A job that fails beside others for a reason
    nobody foresaw runs once more alone; one whose worker died does not, and is alone when it is sent again.
    """

    def __init__(
        self, runner: Runner, settings: WorkerSettings, observer: Observer, limits: ImageLimits = DEFAULT_LIMITS
    ) -> None:
        self._runner, self._settings, self._observer, self._limits = runner, settings, observer, limits
        self._lanes = Lanes()
        self._pace = Pace()
        self._suspects = Suspects(settings.refuse_seconds)
        self._numbers = count(1)
        self._running = self._told = 0
        self._due: asyncio.Handle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        runner.when_free(self._dispatch)

    @property
    def served(self) -> Sequence[Served]:
        """What is served, the default first."""
        return self._runner.served

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome a job, in order; a job that cannot be run has its error there, whatever becomes of the others.

        Raises Overloaded for all of them or none, UnknownModel, and SettingError for more than the queue ever holds.
        What is cancelled while it waits is never run.
        """
        self._check_patience(jobs)  # before anything is looked into: refusing has to cost little
        loop = asyncio.get_running_loop()
        now = loop.time()
        arrived = [self._weigh(job, now, loop) for job in jobs]
        waiting = [one for one in arrived if not one.outcome.done()]
        self._admit(waiting)
        for one in waiting:
            one.timer = loop.call_at(one.deadline, self._expire, one)
            self._lanes.add(one)
        self._changed()
        self._dispatch_soon(loop)
        try:
            return [await one.outcome for one in arrived]
        finally:
            self._withdraw(waiting)

    async def finish_within(self, seconds: float) -> None:
        """Returns when nothing waits and nothing runs, or after so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def close(self) -> None:
        """Ends the runner; what waits or runs fails with WorkerDied."""
        for one in self._lanes:
            self._lanes.remove(one)
            _settle(one, error=WorkerDied("The server stops."))
        await self._runner.close()

    def _weigh(self, job: Job, now: float, loop: asyncio.AbstractEventLoop) -> Waiting:
        """A job on its way, or with its outcome already where it can only be refused."""
        served = self._model(job.model)
        lane = self._lane(served, job)
        weighed = Cost(0, 0)
        error: OpenAutoGLMError | None = self._suspects.refusal(served.name, job.task)
        if isinstance(job.task, _NEED_VECTORS) and type(job.task) not in served.tasks:
            error = SettingError(f"{served.name} makes no such vectors, and this needs them: choose another model.")
        try:
            weighed = cost(job.task, self._limits)
        except ImageError as found:
            error = found
        one = Waiting(job, served, weighed, now, now + job.seconds, loop.create_future(), lane)
        if error is not None:
            _settle(one, error=error)
        return one

    def _model(self, name: str) -> Served:
        for served in self.served:
            if name in ("", served.name):
                return served
        there = ", ".join(served.name for served in self.served)
        raise UnknownModel(f"A model named {name[:80]!r} is not served: choose one of {there}.")

    def _lane(self, served: Served, job: Job, apart: bool = False) -> Lane:
        alone = apart or isinstance(job.task, RunGraph) or self._suspects.suspected(served.name, job.task)
        return Lane(served.name, type(job.task), next(self._numbers) if alone else 0)

    def _admit(self, new: Sequence[Waiting]) -> None:
        """Refuses jobs that would make too much wait, single ones and many by the same rule."""
        if not new:
            return
        settings, size = self._settings, sum(one.cost.size for one in new)
        room = settings.queue_mb * 2**20
        if len(new) > settings.queue_items or size > room:
            raise SettingError(
                f"This request has {len(new)} items of {size / 2**20:.1f} MB: at most {settings.queue_items} of "
                f"{settings.queue_mb} MB are taken at once; send it in parts."
            )
        if len(self._lanes) + len(new) > settings.queue_items or self._lanes.size + size > room:
            raise self._overloaded()

    def _check_patience(self, jobs: Sequence[Job]) -> None:
        """Refuses jobs that would wait too long."""
        if jobs and self._ahead() > min(self._settings.queue_seconds, *(job.seconds for job in jobs)):
            raise self._overloaded()

    def _overloaded(self) -> Overloaded:
        return Overloaded(min(max(1.0, self._ahead()), _LONGEST_RETRY))

    def _ahead(self) -> float:
        """Seconds that all that waits is expected to take."""
        work = sum(self._pace.seconds(kind, units) for kind, units in self._lanes.units().items())
        return work / max(1, self._runner.parallel)

    def _dispatch_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Once for all the requests of this moment; later, where more are to be waited for."""
        gather = self._settings.gather_seconds and len(self._lanes) < self._settings.batch_items
        if self._due is not None:
            if gather:
                return
            self._due.cancel()
        if gather:
            self._due = loop.call_later(self._settings.gather_seconds, self._dispatch)
        else:
            self._due = loop.call_soon(self._dispatch)

    def _dispatch(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
        while first := self._lanes.next():
            alone = self._suspects.suspected(first.served.name, first.job.task)
            if not self._runner.free(alone):
                break
            self._start(self._lanes.take(first.lane, self._fits), alone)
        self._changed()

    def _fits(self, taken: list[Waiting], more: Waiting) -> bool:
        """Whether a batch stays small enough for the limits, and quick enough for its most urgent job."""
        if len(taken) >= self._settings.batch_items:
            return False
        text = issubclass(more.lane.kind, EmbedText | EmbedQuery)
        units = more.cost.units + sum(one.cost.units for one in taken)
        now = asyncio.get_running_loop().time()
        left = min(one.deadline for one in (*taken, more)) - now
        return units <= (
            self._settings.batch_characters if text else self._settings.batch_pixels
        ) and self._pace.seconds(more.lane.work, units) <= min(self._settings.batch_seconds, left)

    def _start(self, jobs: Sequence[Waiting], alone: bool) -> None:
        batch = InHand(jobs, jobs[0].lane, alone, asyncio.get_running_loop().time())
        self._running += 1
        try:
            running = self._runner.run(Batch(batch.lane.model, tuple(one.job.task for one in jobs), alone))
        except Exception as error:  # what cannot be handed over is an item's fault, and must not stop the others
            running = asyncio.get_running_loop().create_future()
            running.set_exception(error)
        running.add_done_callback(partial(self._finished, batch))

    def _finished(self, batch: InHand, running: asyncio.Future[Done]) -> None:
        self._running -= 1
        done = None
        error = WorkerDied("The server stops.") if running.cancelled() else running.exception()
        if isinstance(error, WorkerDied):
            self._died(batch, error)
        elif error is not None:
            self._came_back(batch, [Ran(error=ModelFailed())] * len(batch.jobs))
        else:
            done = running.result()
            self._came_back(batch, done.results)
            self._pace.note(batch.lane.work, sum(one.cost.units for one in batch.jobs), done.seconds)
        self._dispatch()
        # After those who wait for the outcomes, which go on as soon as the event loop comes back to itself.
        asyncio.get_running_loop().call_soon(batch.tell, self._observer, done, time.time())

    def _came_back(self, batch: InHand, results: Sequence[Ran]) -> None:
        for one, ran in zip(batch.jobs, results, strict=True):
            if batch.alone:
                self._suspects.acquit(one.served.name, one.job.task)
            if one.outcome.done():  # it expired, or nobody waits for it any more
                continue
            if ran.unforeseen and len(batch.jobs) > 1:
                one.lane = self._lane(one.served, one.job, apart=True)
                self._lanes.add(one)
            else:
                _settle(one, ran.value, ran.error)

    def _died(self, batch: InHand, error: WorkerDied) -> None:
        """Fails what the worker had, and keeps the like of it, which may wait already, from others."""
        self._suspects.accuse(batch.jobs[0].served.name, [one.job.task for one in batch.jobs], batch.alone)
        for one in batch.jobs:
            _settle(one, error=error)
        for one in self._lanes:
            if refusal := self._suspects.refusal(one.served.name, one.job.task):
                self._lanes.remove(one)
                _settle(one, error=refusal)
            elif not one.lane.alone and self._suspects.suspected(one.served.name, one.job.task):
                self._lanes.remove(one)
                one.lane = self._lane(one.served, one.job)
                self._lanes.add(one)

    def _expire(self, one: Waiting) -> None:
        self._lanes.remove(one)
        _settle(one, error=Expired(f"There was no answer within {one.job.seconds:g} s: try again later."))
        self._changed()

    def _withdraw(self, waiting: Sequence[Waiting]) -> None:
        """After a request was cancelled: what still waits of it is forgotten, what runs is not awaited."""
        for one in waiting:
            self._lanes.remove(one)
            one.outcome.cancel()
            if one.timer is not None:
                one.timer.cancel()
        self._changed()

    def _changed(self) -> None:
        if more := len(self._lanes) - self._told:
            self._told += more
            self._observer.waiting(more)
        if self._lanes or self._running:
            self._idle.clear()
        else:
            self._idle.set()


def _settle(one: Waiting, value: object = None, error: Exception | None = None) -> None:
    if not one.outcome.done():
        one.outcome.set_result(Outcome(one.served.name, one.served.space, value, error))
