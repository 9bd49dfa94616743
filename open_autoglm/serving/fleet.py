"""Served models of which more can be added and taken away while the others answer, each with workers of its own.

It knows served models by name; it knows nothing of why one is added.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from ..bundle import Bundle
from ..runtime.decoding import DEFAULT_LIMITS, ImageLimits
from .caller import ANONYMOUS, Caller
from .scheduler.scheduled import ScheduledModel
from .scheduler.served import ServedModels
from .work import Job, Observer, Outcome, Served, UnknownModel
from .workers.running import UNOBSERVED
from .workers.settings import WorkerSettings


@dataclass(frozen=True)
class _Added:
    models: ServedModels
    running: AbstractAsyncContextManager[None]


class Fleet:
    """Implements ``work.Models``, and a rollout's ``Loader``. ``bundles`` are those it begins with, the default first.

    Raises as ServedModels does.
    """

    def __init__(
        self,
        bundles: Mapping[str, str | Path],
        settings: WorkerSettings,
        observer: Observer = UNOBSERVED,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        self._settings, self._observer, self._limits = settings, observer, limits
        self._first = ServedModels(bundles, settings, observer, limits)
        self._added: dict[str, _Added] = {}
        self._change()

    @property
    def served(self) -> Sequence[Served]:
        """What is served, the default first."""
        return self._served

    @property
    def bundles(self) -> Mapping[str, Bundle]:
        """The open bundle of each model."""
        return self._bundles

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers meanwhile; at the end what was taken is finished first."""
        async with self._first.running():
            try:
                yield
            finally:
                for name in list(self._added):
                    await self.unload(name)

    async def load(self, name: str, bundle: str) -> None:
        """Serves a bundle under that name from now on. Raises BundleError and SettingError."""
        models = await asyncio.to_thread(ServedModels, {name: bundle}, self._settings, self._observer, self._limits)
        running = models.running()
        await running.__aenter__()
        self._added[name] = _Added(models, running)
        self._change()

    async def unload(self, name: str) -> None:
        """Serves it no longer, once what it was asked is answered."""
        added = self._added.pop(name)
        self._change()
        await added.running.__aexit__(None, None, None)

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """As ``work.Models`` says; jobs for models with workers of their own wait in their own queues."""
        owners = [self._owner(job.model) for job in jobs]
        parts = list(dict.fromkeys(owners))
        if len(parts) == 1:
            return await parts[0].answer(jobs)
        shares = [[job for job, owner in zip(jobs, owners, strict=True) if owner is part] for part in parts]
        found = await asyncio.gather(*(part.answer(share) for part, share in zip(parts, shares, strict=True)))
        outcomes = {part: iter(some) for part, some in zip(parts, found, strict=True)}
        return [next(outcomes[owner]) for owner in owners]

    def model(self, name: str, caller: Caller = ANONYMOUS) -> ScheduledModel:
        """A served model as an index or a cache uses it from threads, for one caller; it costs next to nothing."""
        return self._owner(name).model(name or self._first.served[0].name, caller)

    def _owner(self, name: str) -> ServedModels:
        if not name:
            return self._first
        if (found := self._owners.get(name)) is not None:
            return found
        there = ", ".join(one.name for one in self.served)
        raise UnknownModel(f"A model named {name[:80]!r} is not served: choose one of {there}.")

    def _change(self) -> None:
        """Notes who serves what, for the many requests until that changes again."""
        several = [self._first, *(added.models for added in self._added.values())]
        self._served = [one for models in several for one in models.served]
        self._bundles = {name: bundle for models in several for name, bundle in models.bundles.items()}
        self._owners = {one.name: models for models in reversed(several) for one in models.served}
