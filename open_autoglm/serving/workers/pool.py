"""A number of worker processes, kept alive: each that dies or grows too large is replaced.

It knows the lives of workers; it knows nothing of queues, or of what is in a batch.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ..work import Observer, Served
from .opening import Opening
from .process import WorkerProcess
from .running import UNOBSERVED, Batch, Done
from .settings import WorkerSettings

_LOG = logging.getLogger(__name__)
_FIRST_DELAY, _LONGEST_DELAY = 0.2, 30.0  # seconds between attempts to start a worker that does not live


class WorkerPool:
    """``running.Runner`` over processes; used on the event loop that it was started on."""

    def __init__(
        self, served: Sequence[Served], opening: Opening, settings: WorkerSettings, observer: Observer = UNOBSERVED
    ) -> None:
        self.served, self.parallel = served, settings.workers
        self._opening, self._settings, self._observer = opening, settings, observer
        self._workers: dict[int, WorkerProcess] = {}
        self._all: set[WorkerProcess] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._tell: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Returns when all workers are ready. Raises what loading a bundle raised, and WorkerDied."""
        loop = asyncio.get_running_loop()
        first: list[asyncio.Future[None]] = [loop.create_future() for _ in range(self.parallel)]
        self._keepers = [loop.create_task(self._keep(place, ready)) for place, ready in enumerate(first)]
        try:
            await asyncio.gather(*first)
        except BaseException:
            await self.close()
            raise

    @property
    def pids(self) -> list[int]:
        """The processes that take batches now."""
        return [worker.pid for worker in self._workers.values()]

    def free(self, alone: bool) -> bool:
        return any(worker.free(alone) for worker in self._workers.values())

    def run(self, batch: Batch) -> asyncio.Future[Done]:
        ready = [worker for worker in self._workers.values() if worker.free(batch.alone)]
        return min(ready, key=lambda worker: worker.load).run(batch)

    def when_free(self, tell: Callable[[], None]) -> None:
        self._tell = tell

    async def close(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in self._all))

    async def _keep(self, place: int, ready: asyncio.Future[None]) -> None:
        """Has one worker at a place, and the next one when it leaves."""
        delay = 0.0
        while True:
            worker = WorkerProcess(self._settings, self._tell_free)
            self._all.add(worker)
            try:
                await worker.start(self._opening)
            except Exception as error:
                self._all.discard(worker)
                if not ready.done():
                    ready.set_exception(error)
                    return
                delay = min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * delay))
                _LOG.error("A worker did not start; the next attempt is in %g s: %s", delay, error)
                await asyncio.sleep(delay)
                continue
            if (before := self._workers.get(place)) is not None:
                before.retire()
            self._workers[place] = worker
            if not ready.done():
                ready.set_result(None)
            self._tell_free()
            await worker.leaving
            why = "died" if worker.gone else "holds more memory than it may"
            _LOG.warning("Worker %d %s; another one is started.", worker.pid, why)
            self._observer.restarted()
            delay = 0.0 if worker.served_any else min(_LONGEST_DELAY, max(_FIRST_DELAY, 2 * delay))
            await asyncio.sleep(delay)

    def _tell_free(self) -> None:
        self._all -= {worker for worker in self._all if worker.gone}
        self._tell()
