"""The page and the API over models and indexes: answers, search, pictures, and the guard around them.

It knows models by the jobs they answer and indexes by their face; it knows nothing of embedding or storage. A name is
loaded when first used, as the processes that run models need none of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..errors import needing

if TYPE_CHECKING:
    from .app import create_app
    from .opening import Opened, opened
    from .server import run
    from .settings import Settings
    from .telemetry import TelemetrySettings

__all__ = ["Opened", "Settings", "TelemetrySettings", "create_app", "opened", "run"]

_HOMES = {
    "Opened": ".opening",
    "Settings": ".settings",
    "TelemetrySettings": ".telemetry",
    "create_app": ".app",
    "opened": ".opening",
    "run": ".server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needing("The page", "serve"):
        return getattr(import_module(_HOMES[name], __name__), name)
