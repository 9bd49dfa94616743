"""The page and the API over models and indexes: answers, search, pictures, and the guard around them.

It knows models by the jobs they answer and indexes by their face; it knows nothing of embedding or storage.
"""

from __future__ import annotations

from ..errors import needing

with needing("The page", "serve"):
    import fastapi as _fastapi  # noqa: F401
    import httptools as _httptools  # noqa: F401
    import httpx as _httpx  # noqa: F401
    import python_multipart as _python_multipart  # noqa: F401
    import uvicorn as _uvicorn  # noqa: F401

from .app import create_app
from .run import run
from .settings import Settings

__all__ = ["Settings", "create_app", "run"]
