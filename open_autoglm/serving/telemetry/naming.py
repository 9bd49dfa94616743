"""The name under which a request is found in logs and traces, as its reply gives it.

It knows the header; it knows nothing of who makes the name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HEADER = "x-request-id"
_KEY = "trace_id"


def name(scope: Mapping[str, Any], trace_id: str) -> None:
    """The request has this name from now on."""
    scope["state"][_KEY] = trace_id


def named(scope: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a reply to the request, empty where it has no name."""
    trace_id = scope.get("state", {}).get(_KEY)
    return {HEADER: trace_id} if trace_id else {}
