"""Routes that FastAPI documents and finds, and that run without what it works out anew for every request.

It knows FastAPI's routes; it knows nothing of what they answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from ..access import Permits


class StraightRoute(APIRoute):
    """Calls an endpoint that takes its ``request`` and its ``caller``, and gives a Response, with just these.

    FastAPI would look through path, query, headers, cookies and body for each of them, at every request. An endpoint
    that takes anything else is called as ever.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **named: Any) -> None:
        super().__init__(path, endpoint, **named)
        permits = _permits(self.dependant)
        if permits is not None and self.response_field is None:
            self.app = _straight(endpoint, permits)


def _permits(asked: Dependant) -> Permits | None:
    """What is asked of the caller, where an endpoint takes a request and a caller and nothing else."""
    others = (asked.path_params, asked.query_params, asked.header_params, asked.cookie_params, asked.body_params)
    names = [one.name for one in asked.dependencies]
    if any(others) or asked.request_param_name != "request" or names != ["caller"]:
        return None
    found = asked.dependencies[0].call
    return found if isinstance(found, Permits) else None


def _straight(endpoint: Callable[..., Any], permits: Permits) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        response = await endpoint(request=request, caller=await permits(request))
        await response(scope, receive, send)

    return app
