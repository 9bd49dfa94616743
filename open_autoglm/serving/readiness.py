"""Whether the server can answer: one small real inference by the same way that every request takes.

It knows jobs and the clock; it knows nothing of processes or HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from ..errors import OpenAutoGLMError
from ..runtime.recording import SENTENCE
from .caller import Caller
from .work import Ask, EmbedImage, EmbedText, Expired, Job, Models, Overloaded, Task, WorkerDied
from .workers.opening import small_picture

_LOG = logging.getLogger(__name__)
_CHECKER = Caller("readiness", "readiness", frozenset())  # a tenant of its own: its turn comes soon


@dataclass(frozen=True)
class Readiness:
    """Whether requests should be sent here, and in a sentence why not."""

    ready: bool
    reason: str = ""


class ReadinessCheck:
    """Tries the default model, at most once in ``keep`` seconds, however many ask.

    Where the queue is full the last finding stands: a server that works as much as it can is not dead.
    """

    def __init__(
        self, models: Models, *, draining: Callable[[], bool] = lambda: False, seconds: float = 5.0, keep: float = 1.0
    ) -> None:
        self._models, self._draining, self._seconds, self._keep = models, draining, seconds, keep
        self._turn = asyncio.Lock()
        self._last = Readiness(False, "The model was not tried yet.")
        self._when = float("-inf")
        self._picture, self._numbers = small_picture(), count()

    async def __call__(self) -> Readiness:
        """The finding, at most ``keep`` seconds old."""
        if self._draining():
            return Readiness(False, "The server stops: it finishes what it has.")
        async with self._turn:
            if time.monotonic() - self._when > self._keep:
                self._last = await self._found()
                self._when = time.monotonic()
            return self._last

    async def _found(self) -> Readiness:
        try:
            async with asyncio.timeout(self._seconds):
                (outcome,) = await self._models.answer([Job(self._task(), caller=_CHECKER, seconds=self._seconds)])
            outcome.get()
        except Overloaded:
            return self._last
        except (Expired, TimeoutError):
            return Readiness(False, f"The model gave no answer within {self._seconds:g} s.")
        except WorkerDied as error:
            return Readiness(False, str(error))
        except OpenAutoGLMError as error:
            return Readiness(False, f"The model fails: {error}")
        except Exception:
            _LOG.exception("The model failed on a small inference")
            return Readiness(False, "The model fails; the server's log says why.")
        return Readiness(True)

    def _task(self) -> Task:
        """Never the same twice: a picture that was there when workers died would be held to have killed them."""
        number, tasks = next(self._numbers), self._models.served[0].tasks
        picture = self._picture + number.to_bytes(8, "big")  # behind its end, where no decoder looks
        if EmbedImage in tasks:
            return EmbedImage(picture)
        return EmbedText(f"{SENTENCE} {number}") if EmbedText in tasks else Ask(picture, SENTENCE)
