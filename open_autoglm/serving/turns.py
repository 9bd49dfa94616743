"""Blocking work off the event loop, only so much of it at once; what waits too long is told to come back.

It knows threads and turns; it knows nothing of what the work is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

T = TypeVar("T")


class Busy(Exception):
    """So many wait before a request that its turn did not come."""


class Turns:
    """``at_once`` pieces of work run on threads; another waits ``patience`` seconds for its turn."""

    def __init__(self, at_once: int, patience: float) -> None:
        self._free, self._patience = anyio.Semaphore(at_once), patience

    async def run(self, work: Callable[[], T]) -> T:
        """Raises Busy. What has begun is always finished: a thread cannot be stopped."""
        with anyio.move_on_after(self._patience) as waiting:
            await self._free.acquire()
        if waiting.cancelled_caught:
            raise Busy("Too many searches and questions wait before this one: try again in a moment.")
        try:
            return await to_thread.run_sync(work)
        finally:
            self._free.release()
