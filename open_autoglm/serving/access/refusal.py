"""A request that is refused for who sends it: its status, a word for programs and a sentence for people.

It knows statuses and headers; it knows nothing of why.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

_REALM = 'Bearer realm="open-autoglm"'


class Refused(Exception):
    """A request that this caller may not make."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, headers


def unknown_caller(message: str, presented: bool = True) -> Refused:
    """Nobody that is known; ``presented`` tells whether there was a token or key at all (RFC 6750, section 3)."""
    challenge = f'{_REALM}, error="invalid_token"' if presented else _REALM
    return Refused(HTTPStatus.UNAUTHORIZED, "Unauthenticated", message, {"WWW-Authenticate": challenge})


def denied(message: str) -> Refused:
    """Somebody who is known, and may not."""
    return Refused(HTTPStatus.FORBIDDEN, "Forbidden", message)


def undecided(message: str) -> Refused:
    """Nobody can tell now, so it is no."""
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, "AccessUnavailable", message, {"Retry-After": "5"})


def exhausted(message: str, headers: Mapping[str, str]) -> Refused:
    """A tenant that has used up its quota."""
    return Refused(HTTPStatus.TOO_MANY_REQUESTS, "QuotaExhausted", message, headers)
