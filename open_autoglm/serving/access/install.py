"""Puts the gate before an application's routes: the gate itself, the replies to those refused, the headers of quotas.

It knows the application's parts; it knows nothing of who may do what.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ...errors import needing
from ..failures import failure
from .openly import Openly
from .permits import Gate
from .refusal import Refused
from .settings import AccessSettings


def install(app: FastAPI, settings: AccessSettings) -> None:
    """Sets ``app.state.access``, which the application's lifespan must enter. Raises SettingError and MissingExtra."""
    app.state.access = _gate(settings)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return failure(error.status, error.kind, str(error), error.headers)

    if settings.asks:
        app.add_middleware(QuotaHeaders)


def _gate(settings: AccessSettings) -> Gate:
    if not settings.asks:
        return Openly()
    with needing("Asking callers who they are", "access"):
        from .gate import Access
    return Access(settings)


class QuotaHeaders:
    """ASGI middleware: says in each reply how its tenant stands, streamed replies and failures included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start" and "quotas" in state:
                sent = MutableHeaders(scope=message)
                for name, value in state["quotas"].items():
                    sent.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_counted)
