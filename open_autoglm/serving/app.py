"""Puts the page together: the API, the page's files, the guard in front and the replies to what fails.

It knows the parts; it knows nothing of ports and processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from ..search import Index
from . import failures
from .access.install import install as install_access
from .guard import HEADERS, Guard
from .routes import api
from .service import Service
from .settings import Settings

_PAGE = Path(__file__).parent / "page"


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with app.state.access:
        yield


def create_app(index: Index, settings: Settings | None = None) -> FastAPI:
    """The page and its API over ``index``, as an ASGI application.

    Raises SettingError where other machines could reach what nobody guards.
    """
    settings = settings or Settings()
    settings.access.check_reach(settings.host, settings.is_public)
    # The interactive documentation would load its scripts from another host; /openapi.json stays.
    app = FastAPI(title="Open-AutoGLM", docs_url=None, redoc_url=None, lifespan=_lifespan)
    install_access(app, settings.access)
    app.add_middleware(Guard, settings=settings)
    failures.install(app, HEADERS)
    app.include_router(api(Service(index, settings)))

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    return app
