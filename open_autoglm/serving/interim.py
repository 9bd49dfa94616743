"""A server process over the scheduler with one route of OpenAI's, which the benchmarks of the workers drive.

``python -m open_autoglm.serving.interim '{"bundles": {...}, "workers": {...}}'`` prints its port.
"""

from __future__ import annotations

import base64
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ..errors import OpenAutoGLMError
from .draining import Drain, DrainGate, DrainingServer
from .failures import failure
from .readiness import ReadinessCheck
from .scheduling import open_scheduler
from .work import EmbedImage, EmbedText, Job, Overloaded
from .workers.settings import WorkerSettings


def main(told: dict[str, Any]) -> None:
    """Serves until SIGTERM."""
    settings, drain = WorkerSettings(**told["workers"]), Drain()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_scheduler(told["bundles"], settings) as scheduler:
            app.state.scheduler = scheduler
            app.state.ready = ReadinessCheck(scheduler, draining=lambda: drain.draining)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/ready")
    async def ready() -> JSONResponse:
        found = await app.state.ready()
        return JSONResponse({"reason": found.reason}, 200 if found.ready else 503)

    @app.post("/v1/embeddings")
    async def embeddings(request: Request) -> JSONResponse:
        sent = json.loads(await request.body())["input"]
        inputs = sent if isinstance(sent, list) else [sent]
        try:
            outcomes = await app.state.scheduler.answer([Job(_task(one)) for one in inputs])
            data = [{"index": place, "embedding": one.get().tolist()} for place, one in enumerate(outcomes)]
        except Overloaded as error:
            return failure(429, "Overloaded", str(error), {"Retry-After": str(round(error.retry_after))})
        except OpenAutoGLMError as error:
            return failure(400, type(error).__name__, str(error))
        except Exception as error:
            return failure(503, type(error).__name__, str(error))
        return JSONResponse({"object": "list", "model": outcomes[0].model, "data": data})

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            DrainGate(app, drain), log_level="warning", access_log=False, timeout_graceful_shutdown=5
        )
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        DrainingServer(config, drain, settings.drain_seconds).run(sockets=[listener])


def _task(sent: str) -> EmbedImage | EmbedText:
    head, _, content = sent.partition(";base64,")
    return EmbedImage(base64.b64decode(content)) if head.startswith("data:image/") else EmbedText(sent)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
