"""What a request shows to say who sends it: one token or one key.

It knows headers; it knows nothing of what makes a token or a key good.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from .refusal import unknown_caller

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)  # RFC 6750, section 2.1


def credential(headers: Headers, longest: int) -> str:
    """The one token or key of a request. Raises Refused where there is none, or more than one, or it is none."""
    given = [*headers.getlist("authorization"), *(f"Bearer {key}" for key in headers.getlist("x-api-key"))]
    if not given:
        raise unknown_caller(
            "Say who you are: send an API key or a token as 'Authorization: Bearer ...'.", presented=False
        )
    if len(given) > 1:
        raise unknown_caller("More than one token or key was sent: send one, in one header.")
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer":
        raise unknown_caller("Only 'Authorization: Bearer ...' says who you are here: send an API key or a token so.")
    if len(token) > longest:
        raise unknown_caller(f"The token is too long: at most {longest} characters are read.")
    if not _TOKEN.fullmatch(token):
        raise unknown_caller("What follows 'Bearer' is no token: send the key or the token and nothing else.")
    return token
