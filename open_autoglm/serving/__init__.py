"""The page and its API over one index: the search, the pictures, and the guard around them.

It knows the index's face and safe picture intake; it knows nothing of embedding or storage.
"""

from __future__ import annotations

from ..errors import needing

with needing("The page", "serve"):
    import fastapi as _fastapi  # noqa: F401
    import python_multipart as _python_multipart  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401

from .app import create_app
from .run import run
from .settings import Settings
from .telemetry import TelemetrySettings

__all__ = ["Settings", "TelemetrySettings", "create_app", "run"]
