"""The served models as the parts of a server are given them: made before its event loop runs, answering once it does.

It knows the scheduler and the model for indexes; it knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from ...runtime.decoding import DEFAULT_LIMITS, ImageLimits
from ..caller import ANONYMOUS, Caller
from ..work import Job, Observer, Outcome
from ..workers.opening import Opening, served
from ..workers.running import UNOBSERVED
from ..workers.settings import WorkerSettings
from .batching import Scheduler
from .scheduled import Asker, ScheduledModel, scheduled_model
from .scheduling import open_scheduler


class ServedModels:
    """Implements ``work.Models`` over bundles, name to path or shipped name, the default first.

    Made it only reads them, and raises BundleError and SettingError; what it is asked before ``running`` is entered or
    after it was left is a RuntimeError.
    """

    def __init__(
        self,
        bundles: Mapping[str, str | Path],
        settings: WorkerSettings,
        observer: Observer = UNOBSERVED,
        limits: ImageLimits = DEFAULT_LIMITS,
    ) -> None:
        self._given, self._settings, self._observer, self._limits = bundles, settings, observer, limits
        models = Opening.of(bundles, settings, limits).models()
        self.served = served(models)
        self.bundles = {name: model.bundle for name, model in models.items()}
        self._running: tuple[Scheduler, asyncio.AbstractEventLoop] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answers meanwhile, on this event loop; at the end what was taken is finished first."""
        try:
            async with open_scheduler(self._given, self._settings, self._observer, self._limits) as scheduler:
                self._running = scheduler, asyncio.get_running_loop()
                yield
        finally:
            self._running = None

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        """As ``work.Models`` says."""
        return await self._started()[0].answer(jobs)

    def model(self, name: str, caller: Caller = ANONYMOUS) -> ScheduledModel:
        """A served model as an index or a cache uses it from threads, for one caller; it costs next to nothing."""
        asker = Asker(self, lambda: self._started()[1], name, caller)
        return scheduled_model(self.bundles[name], asker, self._settings, self._limits)

    def _started(self) -> tuple[Scheduler, asyncio.AbstractEventLoop]:
        if self._running is None:
            raise RuntimeError("The models do not answer now: they do while their server runs.")
        return self._running
