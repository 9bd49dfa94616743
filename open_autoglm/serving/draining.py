"""Stops without losing a request: what came in before the signal is answered, what comes later is sent elsewhere.

It knows HTTP requests and the server's signals; it knows nothing of what is served.
"""

from __future__ import annotations

import time
from types import FrameType

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .failures import failure

_ALWAYS = frozenset({"/live", "/ready", "/metrics"})
_RETRY_AFTER = "5"  # seconds until a load balancer has surely noticed


class Drain:
    """Counts the requests in progress, and is closed to new ones once a stop was asked for."""

    def __init__(self) -> None:
        self.draining = False
        self.inside = 0


class DrainGate:
    """ASGI middleware, the outermost: lets requests in until ``drain`` is closed, then answers 503 with Retry-After."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app, self._drain = app, drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in _ALWAYS:
            await self.app(scope, receive, send)
            return
        if self._drain.draining:
            message = "The server stops and takes no more requests: send this one again, another server takes it."
            await failure(503, "Draining", message, {"Retry-After": _RETRY_AFTER, "Connection": "close"})(
                scope, receive, send
            )
            return

        async def send_and_hang_up(message: Message) -> None:
            if message["type"] == "http.response.start" and self._drain.draining:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        self._drain.inside += 1
        try:
            await self.app(scope, receive, send_and_hang_up)
        finally:
            self._drain.inside -= 1


class DrainingServer(uvicorn.Server):
    """A server that at SIGTERM or Ctrl+C first closes the gate and answers what is inside, for ``seconds`` at most.

    It goes on listening meanwhile, so that /ready can say that it stops. A second signal stops it at once.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, seconds: float) -> None:
        super().__init__(config)
        self._drain, self._seconds = drain, seconds
        self._until = float("inf")
        self._closed = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._drain.draining or not self.started:
            super().handle_exit(sig, frame)
            return
        self._captured_signals.append(sig)
        self._until = time.monotonic() + self._seconds
        self._drain.draining = True

    async def on_tick(self, counter: int) -> bool:
        if self._drain.draining and (not self._drain.inside or time.monotonic() > self._until):
            # Those who were let in meanwhile have until the next tick to send their request and be refused.
            self.should_exit = self._closed
            self._closed = True
            for server in self.servers:
                server.close()
        return await super().on_tick(counter)
