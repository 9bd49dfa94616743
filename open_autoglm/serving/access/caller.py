"""Who sends a request, and the one place where a route says what its caller must be allowed to do.

It knows callers; it knows nothing of how they are recognised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request

from ...cache.model import DEFAULT_TENANT


@dataclass(frozen=True)
class Caller:
    """Who asks: the tenant that owns what they reach, the subject (a token's ``sub``, a key's name), and scopes."""

    tenant: str
    subject: str
    scopes: frozenset[str]


ANONYMOUS = Caller(DEFAULT_TENANT, "anonymous", frozenset({"*"}))


def permits(action: str) -> Callable[[Request], Awaitable[Caller]]:
    """A FastAPI dependency: the caller of a request who is allowed ``action``, such as ``embed`` or ``search``."""

    async def allowed(request: Request) -> Caller:
        return ANONYMOUS

    return allowed
