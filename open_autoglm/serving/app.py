"""Puts the page together: the API, the page's files, the guard in front and the replies to what fails.

It knows the parts; it knows nothing of ports and processes.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from ..search import Index
from . import failures
from .guard import HEADERS, Guard
from .routes import api
from .service import Service
from .settings import Settings
from .telemetry import Telemetry, Watch, metrics_route

_PAGE = Path(__file__).parent / "page"


def create_app(index: Index, settings: Settings | None = None, telemetry: Telemetry | None = None) -> FastAPI:
    """The page and its API over ``index``, as an ASGI application; ``telemetry`` is told of all that it does."""
    settings = settings or Settings()
    telemetry = telemetry or Telemetry(settings.telemetry)
    telemetry.watch_index(index)
    # The interactive documentation would load its scripts from another host; /openapi.json stays.
    app = FastAPI(title="Open-AutoGLM", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Watch, telemetry=telemetry)
    failures.install(app, HEADERS)
    app.include_router(api(Service(index, settings)))
    app.include_router(metrics_route(telemetry))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    return app
