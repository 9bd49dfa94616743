"""The gate that is no gate: everybody who reaches the address is let in, as ``anonymous`` of the default tenant.

It knows that; it knows nothing else.
"""

from __future__ import annotations

from fastapi import Request

from ..caller import ANONYMOUS, Caller


class Openly:
    """Lets everybody in, and counts nothing."""

    async def __aenter__(self) -> Openly:
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def admit(self, request: Request, action: str) -> Caller:
        return ANONYMOUS

    async def check(
        self, request: Request, caller: Caller, action: str, *, index: str, model: str, tenant: str
    ) -> None:
        pass

    async def spend(self, request: Request, caller: Caller, *, pictures: int, tokens: int) -> None:
        pass
