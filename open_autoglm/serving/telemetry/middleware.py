"""ASGI middleware in front of everything: each request is timed, counted, traced, named in its reply, and logged once.

It knows HTTP; it knows nothing of what is asked for, and looks into no body.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import partial
from http import HTTPStatus

from anyio import to_thread
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import labels, naming
from .genai import usage
from .logs import log_request
from .request import Seen, begin
from .spans import Span
from .telemetry import Telemetry
from .traceparent import TraceParent

_HUNG_UP = 499  # as nginx calls a client that did not wait for its reply


class Watch:
    """Watches what ``app`` answers; to be added last, so that it stands in front."""

    def __init__(self, app: ASGIApp, telemetry: Telemetry) -> None:
        self._app, self._telemetry = app, telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._watched(scope, receive, send)
        else:
            await self._app(scope, receive, partial(self._send_last, send))

    async def _send_last(self, send: Send, message: Message) -> None:
        # The server ends as soon as it is told that all is over.
        if message["type"].startswith("lifespan.shutdown"):
            await to_thread.run_sync(self._telemetry.close)
        await send(message)

    async def _watched(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = _Request(scope, self._telemetry)

        async def receive_counted() -> Message:
            message = await receive()
            request.received += len(message.get("body", b""))
            request.hung_up |= message["type"] == "http.disconnect" and not request.replying
            return message

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status, request.replying = message["status"], True
                name = (naming.HEADER.encode(), request.trace_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), name]}
            request.sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive_counted, send_named)
        except ClientDisconnect:
            request.hung_up = True
        except BaseException:
            # Whatever its first line said, the reply is not whole.
            request.status = HTTPStatus.INTERNAL_SERVER_ERROR
            request.over()
            raise
        # After the reply has left: the event loop sends it when it comes back to itself.
        asyncio.get_running_loop().call_soon(request.over)


class _Request:
    """One request, from its head to the end of its reply. Without a reply it has failed."""

    def __init__(self, scope: Scope, telemetry: Telemetry) -> None:
        self._scope, self._telemetry = scope, telemetry
        self._root = scope.get("root_path", "")
        self.status: int = HTTPStatus.INTERNAL_SERVER_ERROR
        self.replying = self.hung_up = False
        self.received = self.sent = 0
        self._method = labels.method(scope["method"])
        self._span: Span = telemetry.tracing.start(self._method, _caller(scope["headers"]), server=True)
        self._seen = Seen(self._span.own)
        begin(self._seen)
        scope.setdefault("state", {})
        naming.name(scope, self.trace_id)
        telemetry.metrics.in_flight.inc()
        self._started = time.perf_counter()

    @property
    def trace_id(self) -> str:
        return self._span.own.trace_id

    def over(self) -> None:
        seconds = time.perf_counter() - self._started
        metrics, settings = self._telemetry.metrics, self._telemetry.settings
        if self.hung_up:
            self.status = _HUNG_UP
        metrics.in_flight.dec()
        route = labels.route(self._scope, self._root)
        caller = self._scope["state"].get("caller")
        tenant = caller.tenant if caller is not None else ""
        apart = (self._telemetry.tenants.label(tenant),) if settings.tenants else ()
        metrics.requests.labels(self._method, route, str(self.status), *apart).inc()
        exemplar = {"trace_id": self.trace_id} if self._span.own.sampled else None
        metrics.request_seconds.labels(self._method, route).observe(seconds, exemplar)
        log_request(
            self._seen,
            settings.log_content,
            self._scope,
            method=self._method,
            route=route,
            status=int(self.status),
            ms=round(seconds * 1000, 3),
            tenant=tenant,
            received=self.received,
            sent=self.sent,
        )
        self._seen.close(usage(self._seen))
        self._end(route, tenant)

    def _end(self, route: str, tenant: str) -> None:
        failed = self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        about: dict[str, str | int] = {
            "http.request.method": self._method if self._method != labels.OTHER else "_OTHER",
            "http.route": route,
            "http.response.status_code": int(self.status),
            "url.scheme": str(self._scope.get("scheme", "http")),
            "network.protocol.version": str(self._scope.get("http_version", "")),
        }
        if tenant:
            about["autoglm.tenant"] = tenant
        if failed:
            about["error.type"] = str(int(self.status))
        self._span.end(about, name=f"{self._method} {route}", failed=failed)


def _caller(headers: Iterable[tuple[bytes, bytes]]) -> TraceParent | None:
    """The caller's span, where they name exactly one."""
    named = [value for name, value in headers if name == b"traceparent"]
    return TraceParent.read(named[0].decode("latin-1")) if len(named) == 1 else None
