"""Runs batches in threads of this process, on models that are loaded in it: the embedded default.

It knows a bench; it knows nothing of queues. A model that crashes takes this process with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from ..work import Served
from .bench import Begun, Bench
from .running import Batch, Done

_AT_ONCE = 2  # one that is looked at, and one whose pictures are decoded meanwhile


class ThreadRunner:
    """``running.Runner`` without processes; made and used on one event loop."""

    parallel = 1

    def __init__(self, served: Sequence[Served], bench: Bench) -> None:
        self.served, self._bench = served, bench
        self._thread = ThreadPoolExecutor(1, "model")
        self._taken = 0
        self._alone = False

    def free(self, alone: bool) -> bool:
        return not self._alone and self._taken < (1 if alone else _AT_ONCE)

    def run(self, batch: Batch) -> asyncio.Future[Done]:
        begun = self._bench.begin(batch, ahead=self._taken > 0)
        self._taken += 1
        self._alone = batch.alone
        done = asyncio.get_running_loop().run_in_executor(self._thread, self._finish, begun)
        done.add_done_callback(self._left)
        return done

    def when_free(self, tell: Callable[[], None]) -> None:
        """Nothing but a finished batch frees it."""

    async def close(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)
        self._bench.close()

    def _finish(self, begun: Begun) -> Done:
        return self._bench.finish(begun)

    def _left(self, done: asyncio.Future[Done]) -> None:
        self._taken -= 1
        self._alone = False
