"""The one place where a route says what its caller must be allowed to do.

It knows callers and how a route asks about them; it knows nothing of how they are recognised.
"""

from __future__ import annotations

from typing import Protocol, cast

from fastapi import Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase

from ..caller import Caller
from .scopes import ACTIONS


class Gate(Protocol):
    """Whatever stands before the routes; ``app.state.access`` is one. Each method raises Refused."""

    async def admit(self, request: Request, action: str) -> Caller:
        """The caller of a request who may do this, recognised and counted."""

    async def check(
        self, request: Request, caller: Caller, action: str, *, index: str, model: str, tenant: str
    ) -> None:
        """Asks the policy about something that the body of a request names."""

    async def spend(self, request: Request, caller: Caller, *, pictures: int, tokens: int) -> None:
        """Counts what a request costs against its tenant's quota."""


class Permits(SecurityBase):
    """The dependency that ``permits`` gives; OpenAPI shows it as the scheme of its route."""

    def __init__(self, action: str) -> None:
        if action not in ACTIONS:
            raise ValueError(f"There is no action {action!r}.")
        self.action = action
        self.model = HTTPBearer(description="A JSON Web Token or an API key; the key may also be sent as x-api-key.")
        self.scheme_name = "TokenOrKey"

    async def __call__(self, request: Request) -> Caller:
        return await gate(request).admit(request, self.action)


def permits(action: str) -> Permits:
    """A FastAPI dependency: the caller of a request who is allowed ``action``, such as ``embed`` or ``search``."""
    return Permits(action)


async def check(
    request: Request, caller: Caller, action: str, *, index: str = "", model: str = "", tenant: str = ""
) -> None:
    """Asks the policy once more, about an index or a model that only the body of the request names.

    ``tenant`` owns it; "" is everybody's. Raises Refused.
    """
    await gate(request).check(request, caller, action, index=index, model=model, tenant=tenant)


async def spend(request: Request, caller: Caller, *, pictures: int = 0, tokens: int = 0) -> None:
    """Counts so many pictures and tokens against the caller's quota, all of them or none; a batch counts each item.

    Raises Refused (429).
    """
    await gate(request).spend(request, caller, pictures=pictures, tokens=tokens)


def gate(request: Request) -> Gate:
    """The gate of the application; without one nothing is answered."""
    return cast(Gate, request.app.state.access)
