"""Stands between the routes and what answers them: jobs for a public name go to the live version or to the candidate.

It keeps a failing candidate from being noticed; it knows nothing of HTTP, nor of what is decided on the figures.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from ...errors import FilterError, ImageError, SettingError, TextError
from ..work import Job, Models, Outcome, Overloaded, Served, UnknownModel, WorkerDied
from . import control
from .attendant import Attendant, Loader
from .kinds import kind_of
from .plan import Plan
from .planning import Pictures, planned
from .settings import RolloutSettings
from .shadow import Shadow
from .state import Going
from .status import status
from .store import Store
from .versions import Versions

_USER_MISTAKES = (FilterError, ImageError, SettingError, TextError)


class Rollout:
    """``Models`` by public name, over models of which each version has its own name, such as ``photos@2``.

    ``loader`` takes candidates that are not served yet; without one, only a served version can be a candidate.
    ``compared`` are asked for comparisons, the same as for people by default; models that remember would answer at once
    what they have. ``pictures`` are those of the index, which the versions rank where an operator gives no probe.
    Use it as an asynchronous context manager: outside of it nothing is compared and no state of other processes is
    seen.
    """

    def __init__(
        self,
        inner: Models,
        store: Store,
        settings: RolloutSettings | None = None,
        loader: Loader | None = None,
        pictures: Pictures | None = None,
        compared: Models | None = None,
    ) -> None:
        settings = settings or RolloutSettings()
        self._inner = inner
        self._store = store
        self._loads = loader is not None
        self._pictures = pictures
        self._in_flight = 0
        self._attendant = Attendant(
            compared or inner, store, settings, loader, pictures, busy=lambda: self._in_flight > settings.busy
        )
        self._watching: asyncio.Task[None] | None = None
        self._versions = Versions((), self._attendant.state)

    async def __aenter__(self) -> Self:
        await self._attendant.attend()
        self._watching = asyncio.create_task(self._attendant.watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._attendant.close()

    @property
    def versions(self) -> Versions:
        """What is served, under which names, as this process knows it now."""
        known, served, state = self._versions, self._inner.served, self._attendant.state
        if known.versions is not served or known.state is not state:
            self._versions = known = Versions(served, state)
        return known

    @property
    def served(self) -> Sequence[Served]:
        """Each public name once, the default first."""
        return self.versions.served

    def version(self, name: str) -> Served | None:
        """A version by its own name, which answers whatever becomes of a rollout."""
        return self.versions.by_name.get(name)

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """One outcome a job, in order, each with the version that answered it. Raises as ``Models.answer``.

        A job that fails with the candidate through no fault of who asked is answered by the live version.
        """
        versions, shadow = self.versions, self._attendant.shadow
        going = versions.state.going
        assigned = [replace(job, model=versions.of(job)) for job in jobs]
        if going is None:
            return await self._inner.answer(assigned)
        self._in_flight += 1
        try:
            began = time.monotonic()
            first = await self._answered(assigned, going)
            chosen = [number for number, job in enumerate(jobs) if job.model in ("", going.public)]
            outcomes = await self._rescued(assigned, first, going, chosen, time.monotonic() - began)
        finally:
            self._in_flight -= 1
        if shadow:
            for number in chosen:
                died = isinstance(first[number].error, WorkerDied)
                shadow.answered(assigned[number].model, _failed(first[number]), died)
            if random.random() < going.plan.shadow:  # noqa: S311
                _offer(shadow, assigned, first)
        return outcomes

    async def start(self, plan: Plan, by: str) -> None:
        """Starts a rollout. SettingError and BundleError where the plan cannot be followed."""
        found = await asyncio.to_thread(planned, plan, self.versions, self._loads, self._pictures)
        await asyncio.to_thread(control.begin, self._store, found.going, found.bundle, by)
        await self._attendant.attend()

    async def promote(self, by: str) -> None:
        """Makes the candidate live at once. SettingError where there is none."""
        await asyncio.to_thread(control.promote, self._store, by)
        await self._attendant.attend()

    async def abort(self, by: str) -> None:
        """Ends the rollout at once. SettingError where there is none."""
        sentence = "A person ended it; everything is answered as before it."
        await asyncio.to_thread(control.back, self._store, "aborted", sentence, by)
        await self._attendant.attend()

    async def status(self) -> dict[str, Any]:
        """What is live, the rollout under way or the last one, its figures and the decisions, as JSON has them."""
        versions = self.versions
        live = {name: versions.live_of(name) for name in versions.names}
        return await asyncio.to_thread(status, self._store, live)

    async def feedback(self, version: str, who: str, score: float) -> bool:
        """What somebody thought of an answer by ``version``, in 0..1; False where it does not count."""
        return await asyncio.to_thread(control.feedback, self._store, version, who, score)

    async def _answered(self, jobs: Sequence[Job], going: Going) -> list[Outcome]:
        """A candidate that is gone fails its own jobs only."""
        try:
            return await self._inner.answer(jobs)
        except UnknownModel as error:
            if going.candidate not in [job.model for job in jobs]:
                raise
            kept = iter(await self._inner.answer([job for job in jobs if job.model != going.candidate]))
            gone = Outcome(going.candidate, "", error=error)
            return [gone if job.model == going.candidate else next(kept) for job in jobs]

    async def _rescued(
        self, jobs: Sequence[Job], outcomes: list[Outcome], going: Going, chosen: Sequence[int], passed: float
    ) -> list[Outcome]:
        """The live version stands in where the candidate was ``chosen`` and failed, and there is time left."""
        failed = {
            number: replace(jobs[number], model=going.live[kind], seconds=jobs[number].seconds - passed)
            for number in chosen
            if jobs[number].model == going.candidate and _failed(outcomes[number]) and passed < jobs[number].seconds
            if (kind := kind_of(jobs[number].task))
        }
        if not failed:
            return outcomes
        with suppress(Overloaded, UnknownModel):
            again = await self._inner.answer(list(failed.values()))
            instead = dict(zip(failed, again, strict=True))
            return [instead.get(number, outcome) for number, outcome in enumerate(outcomes)]
        return outcomes


def _offer(shadow: Shadow, jobs: Sequence[Job], outcomes: Sequence[Outcome]) -> None:
    """At most one copy of a request: the parts of one request are too much alike to count for several.

    None of what a worker died of: it would kill three more.
    """
    usable = [
        (job, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if not isinstance(outcome.error, WorkerDied)
    ]
    if usable:
        shadow.offer(*random.choice(usable))  # noqa: S311


def _failed(outcome: Outcome) -> bool:
    """Whether it went wrong through no fault of who asked."""
    return outcome.error is not None and not isinstance(outcome.error, (*_USER_MISTAKES, Overloaded))
