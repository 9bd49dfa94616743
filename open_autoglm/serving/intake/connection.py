"""One connection of a client: headers of bounded size that arrive in bounded time, and no more connections than fit.

It knows uvicorn's protocol; it knows nothing of requests beyond where their headers and bodies end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..failures import failure
from .limits import RequestLimits


def bounded(limits: RequestLimits) -> Callable[..., asyncio.Protocol]:
    """What uvicorn makes a protocol of each connection with."""
    return partial(BoundedProtocol, limits=limits)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's own, which waits for headers for ever and takes any number of them."""

    def __init__(self, *arguments: Any, limits: RequestLimits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._limits = limits
        self._arriving: asyncio.TimerHandle | None = None
        self._in_headers = True
        self._header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "TooManyConnections", "Too many connections are open: wait.")
        else:
            self._expect(self._limits.header_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._header_bytes += len(data)
            if self._header_bytes > self._limits.header_bytes:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "HeadersTooLarge", self._too_large)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._expect(self._limits.header_seconds)

    def on_headers_complete(self) -> None:
        self._in_headers = False
        # A last resort for bodies that nobody reads; who reads one gives up earlier, with a reply.
        self._expect(self._limits.header_seconds + self._limits.body_seconds)
        served = self.app
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._limits.header_bytes:
            self.app = self._answer_too_large
        try:
            super().on_headers_complete()
        finally:
            self.app = served

    def on_message_complete(self) -> None:
        self._expect(None)
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(HTTPStatus.BAD_REQUEST, "RequestError", "This is not an HTTP request that can be read.")

    @property
    def _too_large(self) -> str:
        return f"The headers are too large: at most {self._limits.header_bytes} bytes can be sent."

    async def _answer_too_large(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, close = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, {"Connection": "close"}
        await failure(status, "HeadersTooLarge", self._too_large, close)(scope, receive, send)

    def _expect(self, seconds: float | None) -> None:
        """The message must go on within so many seconds; None: it need not."""
        if self._arriving is not None:
            self._arriving.cancel()
        self._arriving = self.loop.call_later(seconds, self._late) if seconds is not None else None

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self._in_headers and not self.cycle and self._header_bytes:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, "TooSlow", "The request did not arrive in time.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, kind: str, message: str) -> None:
        """Answers what is no request yet, unless an earlier one is being answered, and hangs up."""
        if not self.cycle or self.cycle.response_complete:
            retry = {"Retry-After": "1"} if status is HTTPStatus.SERVICE_UNAVAILABLE else {}
            reply = failure(status, kind, message, {"Connection": "close", **retry})
            head = [f"HTTP/1.1 {status.value} {status.phrase}".encode("ascii")]
            head += [name + b": " + value for name, value in reply.raw_headers]
            self.transport.write(b"\r\n".join([*head, b"", bytes(reply.body)]))
        self.transport.close()
