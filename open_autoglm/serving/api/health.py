"""``/live`` and ``/ready``: whether the process answers, and whether its default model does.

It knows what a check finds; it knows nothing of how it is made.
"""

from __future__ import annotations

from fastapi import APIRouter, Response

from ..failures import failure
from ..schemas import Live
from .described import failures, family
from .desk import Desk


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router = family(tags=["health"])

    @router.get("/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live()

    @router.get("/ready", response_model=Live, responses=failures(503))
    async def ready() -> Response | Live:
        """Whether the default model answers: a small inference is run for it."""
        found = await desk.ready()
        if not found.ready:
            return failure(503, "NotReady", found.reason, {"Retry-After": "1"})
        return Live(status="ready")

    return router
