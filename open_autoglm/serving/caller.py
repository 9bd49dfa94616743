"""Who sends a request, as all parts of serving know them.

It knows nothing of how they are recognised, nor of requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..cache.model import DEFAULT_TENANT


@dataclass(frozen=True)
class Caller:
    """Who asks: the tenant that owns what they reach, the subject (a token's ``sub``, a key's name), and scopes."""

    tenant: str
    subject: str
    scopes: frozenset[str]


ANONYMOUS = Caller(DEFAULT_TENANT, "anonymous", frozenset({"*"}))
