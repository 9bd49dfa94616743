"""Opens a scheduler over processes or threads that have loaded the bundles, and closes it when its work is done.

It knows what runs batches; it knows nothing of requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from ...runtime.decoding import DEFAULT_LIMITS, ImageLimits
from ..work import Observer
from ..workers.bench import Bench
from ..workers.opening import Opening, served, warm
from ..workers.pool import WorkerPool
from ..workers.running import UNOBSERVED, Runner
from ..workers.settings import WorkerSettings
from ..workers.threads import ThreadRunner
from .batching import Scheduler


@asynccontextmanager
async def open_scheduler(
    bundles: Mapping[str, str | Path],
    settings: WorkerSettings,
    observer: Observer = UNOBSERVED,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> AsyncIterator[Scheduler]:
    """The models of ``bundles``, name to path or shipped name, the default first, ready to answer on this event loop.

    Raises BundleError and SettingError where one cannot be loaded. At the end what was taken is finished first, for
    as long as the settings say.
    """
    runner = await _runner(Opening.of(bundles, settings, limits), settings, observer)
    scheduler = Scheduler(runner, settings, observer, limits)
    try:
        yield scheduler
    finally:
        try:
            await scheduler.finish_within(settings.drain_seconds)
        finally:
            await scheduler.close()


async def _runner(opening: Opening, settings: WorkerSettings, observer: Observer) -> Runner:
    models = await asyncio.to_thread(opening.models)
    if not settings.workers:
        await asyncio.to_thread(warm, models)
        return ThreadRunner(served(models), Bench(models, opening.decoders))
    spaces = {name: model.space for name, model in models.items()}
    pool = WorkerPool(served(models), replace(opening, spaces=spaces), settings, observer)
    await pool.start()
    return pool
