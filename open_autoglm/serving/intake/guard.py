"""The guard in front of every request: who may reach the page, from where, and what a browser may do.

It knows hosts, origins and headers; it knows nothing of what is served.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..failures import failure
from ..settings import Settings

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_RAW = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS.items())
_NAMES = frozenset(name for name, _ in _RAW)
_CACHING = (b"cache-control", b"no-cache")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def host_name(netloc: str) -> str | None:
    """The lower-case host of a ``host[:port]``, without brackets; None if there is none."""
    try:
        return urlsplit(f"//{netloc}").hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


class Guard:
    """ASGI middleware: refuses foreign hosts and origins, and sets the security headers of every reply."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.hosts = _LOOPBACK | {host.lower().strip("[]") for host in (settings.host, *settings.allowed_hosts)}
        # DNS rebinding needs a name, so a bare address is safe where the page is meant to be reached by any.
        self.any_address = settings.binds_everywhere

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _guarded(message.get("headers", ()))}
            await send(message)

        headers = Headers(scope=scope)
        if not self._host_allowed(headers):
            reply = failure(
                400,
                "HostRefused",
                "This page is not served under that host name: allow it in the settings, or use localhost.",
            )
        elif scope["method"] not in _READING and not _same_origin(headers):
            reply = failure(403, "OriginRefused", "A page of another origin may not send requests here.")
        else:
            await self.app(scope, receive, send_guarded)
            return
        await reply(scope, receive, send_guarded)

    def _host_allowed(self, headers: Headers) -> bool:
        given = headers.getlist("host")
        host = host_name(given[0]) if len(given) == 1 else None
        return host is not None and (host in self.hosts or (self.any_address and _is_address(host)))


def _guarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The headers of a reply with those that guard it, whatever it had of these."""
    kept = [header for header in headers if header[0] not in _NAMES]
    caching = () if any(name == _CACHING[0] for name, _ in kept) else (_CACHING,)
    return [*kept, *_RAW, *caching]


def _same_origin(headers: Headers) -> bool:
    """Whether the request comes from this page, or from a program that is no browser."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers["host"].lower()
