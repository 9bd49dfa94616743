"""A small real server over the scheduler, for tests that need a process to signal: ``python scheduled_server.py JSON``.

``POST /embed`` takes a picture and gives its vector; ``GET /ready`` and ``GET /pids`` say how it is.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from scheduling_parts import BUNDLE, Written
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from open_autoglm.serving.draining import Drain, DrainGate, DrainingServer
from open_autoglm.serving.readiness import ReadinessCheck
from open_autoglm.serving.scheduler.scheduling import open_scheduler
from open_autoglm.serving.work import EmbedImage, Job, Overloaded, WorkerDied
from open_autoglm.serving.workers.settings import WorkerSettings


def main(settings: WorkerSettings) -> None:
    drain = Drain()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_scheduler({BUNDLE: BUNDLE}, settings, Written()) as scheduler:
            app.state.scheduler = scheduler
            app.state.ready = ReadinessCheck(scheduler, draining=lambda: drain.draining)
            yield

    async def embed(request: Request) -> JSONResponse:
        try:
            (outcome,) = await app.state.scheduler.answer([Job(EmbedImage(await request.body()))])
            return JSONResponse(outcome.get().tolist())
        except Overloaded as error:
            return JSONResponse(str(error), 429)
        except WorkerDied as error:
            return JSONResponse(str(error), 503)

    async def ready(request: Request) -> JSONResponse:
        found = await app.state.ready()
        return JSONResponse(found.reason, 200 if found.ready else 503)

    async def pids(request: Request) -> JSONResponse:
        runner = app.state.scheduler._runner
        return JSONResponse([os.getpid(), *runner.pids])

    routes = [Route("/embed", embed, methods=["POST"]), Route("/ready", ready), Route("/pids", pids)]
    app = Starlette(routes=routes, lifespan=lifespan)
    config = uvicorn.Config(DrainGate(app, drain), port=0, log_level="critical", timeout_graceful_shutdown=5)
    server = DrainingServer(config, drain, settings.drain_seconds)

    async def tell(counter: int, on_tick=server.on_tick) -> bool:  # type: ignore[no-untyped-def]
        if counter == 0:
            print(server.servers[0].sockets[0].getsockname()[1], flush=True)
        return await on_tick(counter)

    server.on_tick = tell  # type: ignore[method-assign]
    server.run()


if __name__ == "__main__":
    main(WorkerSettings(**json.loads(sys.argv[1])))
