"""Puts the page together: the API, the page's files, the guard in front and the replies to what fails.

It knows the parts; it knows nothing of ports and processes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from .. import __version__
from . import failures
from .access.install import install as install_access
from .api import Desk, api, install
from .draining import Drain, DrainGate
from .indexes import Shelf
from .intake.bodies import Intake
from .intake.fetching import Fetcher
from .intake.guard import HEADERS, Guard
from .intake.sent import SentPictures
from .opening import Opened
from .readiness import ReadinessCheck
from .rollout.routes import rollout_routes
from .service import Service
from .settings import Settings
from .telemetry import Watch, metrics_route
from .tokens import TokenCounts

if TYPE_CHECKING:
    from ..runtime.model import Model

_PAGE = Path(__file__).parent / "page"


def create_app(opened: Opened, settings: Settings | None = None) -> FastAPI:
    """The page and its API over what was opened, as an ASGI application; ``app.state.drain`` closes it to requests.

    Raises SettingError where other machines could reach what nobody guards.
    """
    settings, drain = settings or Settings(), Drain()
    settings.access.check_reach(settings.host, settings.is_public)
    models = opened.models
    if opened.index is not None:
        opened.telemetry.watch_index(opened.index)

    def of_space(space: str, tenant: str) -> Model | None:
        name = next((one.name for one in models.served if one.space == space), None)
        return opened.index_model(name, tenant) if name is not None else None

    shelf = Shelf(settings.indexes, opened.index, of_space, settings.open_indexes)
    fetcher = Fetcher(settings.fetching, settings.limits.max_bytes)
    desk = Desk(
        models=models,
        service=Service(shelf, settings),
        intake=Intake(settings.requests, settings.limits.max_bytes),
        pictures=SentPictures(fetcher, settings.limits.max_bytes),
        tokens=TokenCounts(opened.bundle),
        settings=settings,
        index_model=opened.index_model,
        version=opened.rollout.version if opened.rollout is not None else lambda name: None,
        ready=ReadinessCheck(models, draining=lambda: drain.draining),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for running in opened.running:
                await stack.enter_async_context(running())
            await stack.enter_async_context(app.state.access)
            stack.callback(shelf.close)
            stack.push_async_callback(fetcher.aclose)
            yield

    # The interactive documentation would load its scripts from another host; /openapi.json stays.
    app = FastAPI(
        title="Open-AutoGLM",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        # Watch tells all that FastAPI's own telemetry would.
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.drain = drain
    install_access(app, settings.access)
    app.add_middleware(DrainGate, drain=drain)
    app.add_middleware(Guard, settings=settings)
    app.add_middleware(Watch, telemetry=opened.telemetry)
    failures.install(app, HEADERS)
    app.router.routes.extend(api(desk))
    app.include_router(metrics_route(opened.telemetry))
    if opened.rollout is not None:
        app.include_router(rollout_routes(opened.rollout))
    install(app)

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=_PAGE))
    return app
