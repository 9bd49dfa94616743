"""Puts the page together: the API, the page's files, the guard in front and the replies to what fails.

It knows the parts; it knows nothing of ports and processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from .. import __version__
from ..bundle import Bundle
from ..errors import SettingError
from ..search import Index
from . import failures
from .api import Desk, api, install
from .direct import Direct, ModelOf
from .fetching import Fetcher
from .guard import HEADERS, Guard
from .indexes import Shelf
from .intake import Intake
from .sent import SentPictures
from .service import Service
from .settings import Settings
from .tokens import TokenCounts
from .work import Models

if TYPE_CHECKING:
    from ..runtime.model import Model

_PAGE = Path(__file__).parent / "page"


def create_app(
    index: Index | None,
    settings: Settings | None = None,
    models: Models | None = None,
    index_model: ModelOf | None = None,
    bundles: Mapping[str, Bundle] | None = None,
) -> FastAPI:
    """The page and its API over ``index`` and ``models``, as an ASGI application.

    ``index_model`` gives a served model by name, as the indexes of a tenant are to use it; ``bundles`` are those of the
    models by name, whose tokenizers count. Without ``models`` the index's own answers, in this process.
    """
    settings = settings or Settings()
    models = models or _own(index)

    def as_index_model(name: str, tenant: str) -> Model:
        if index_model is not None:
            return index_model(name, tenant)
        if index is None:
            raise LookupError(name)
        return index.model

    def of_space(space: str, tenant: str) -> Model | None:
        name = next((one.name for one in models.served if one.space == space), None)
        return as_index_model(name, tenant) if name is not None else None

    shelf = Shelf(settings.indexes, index, of_space, settings.open_indexes)
    fetcher = Fetcher(settings.fetching, settings.limits.max_bytes)
    desk = Desk(
        models=models,
        service=Service(shelf, settings),
        intake=Intake(settings.requests, settings.limits.max_bytes),
        pictures=SentPictures(fetcher, settings.limits.max_bytes),
        tokens=TokenCounts(bundles),
        settings=settings,
        index_model=as_index_model,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await fetcher.aclose()
            shelf.close()

    # The interactive documentation would load its scripts from another host; /openapi.json stays.
    app = FastAPI(
        title="Open-AutoGLM",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.add_middleware(Guard, settings=settings)
    failures.install(app, HEADERS)
    app.include_router(api(desk))
    install(app)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    return app


def _own(index: Index | None) -> Models:
    if index is None:
        raise SettingError("There is nothing to serve: give an index or models.")
    return Direct(lambda: {index.model.name: index.model})
