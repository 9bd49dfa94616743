"""``/live`` and ``/ready``: whether the process answers, and whether its default model does.

It knows a small job; it knows nothing of what may be wrong.
"""

from __future__ import annotations

import anyio
from fastapi import APIRouter, Response

from ..failures import failure, verdict
from ..schemas import Live
from ..work import EmbedText, Job
from .described import failures
from .desk import Desk

_SECONDS = 5.0
_GOOD = 1.0  # seconds for which a look is believed: whoever asks, inference is not kept busy with it


class Readiness:
    """Looks whether the default model still works, one look at a time."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._looking = desk, anyio.Lock()
        self._looked, self._wrong = float("-inf"), ""

    async def wrong(self) -> str:
        """What is wrong, "" where nothing is."""
        async with self._looking:
            if anyio.current_time() - self._looked > _GOOD:
                self._wrong = await self._look()
                self._looked = anyio.current_time()
            return self._wrong

    async def _look(self) -> str:
        try:
            with anyio.fail_after(2 * _SECONDS):
                (outcome,) = await self._desk.models.answer([Job(EmbedText("red"), seconds=_SECONDS)])
        except TimeoutError:
            return f"The model did not answer within {2 * _SECONDS:g} s."
        except Exception as error:
            return str(error) if verdict(error) is not None else "The model cannot be reached."
        return "" if outcome.error is None else f"The model cannot answer: {outcome.error}"


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router, readiness = APIRouter(tags=["health"]), Readiness(desk)

    @router.get("/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live()

    @router.get("/ready", response_model=Live, responses=failures(503))
    async def ready() -> Response | Live:
        """Whether the default model answers: a small inference is run for it."""
        if wrong := await readiness.wrong():
            return failure(503, "NotReady", wrong, {"Retry-After": "1"})
        return Live(status="ready")

    return router
