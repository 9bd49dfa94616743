"""The server of the rollout benchmark: texts are embedded over HTTP by whichever version the rollout says.

It knows the rollout's parts; it knows nothing of what is measured.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from _rollout_sides import InProcess, Sample
from fastapi import FastAPI

from open_autoglm.serving.access import AccessSettings
from open_autoglm.serving.access.install import install as install_access
from open_autoglm.serving.caller import Caller
from open_autoglm.serving.rollout import Rollout, RolloutSettings, Store
from open_autoglm.serving.rollout.routes import rollout_routes
from open_autoglm.serving.work import EmbedText, Job


def written(sample: Sample, folder: Path) -> Path:
    """The sample as a probe's file."""
    for number, picture in enumerate(sample.pictures):
        (folder / f"{number}.jpg").write_bytes(picture)
    lines = [{"picture": f"{number}.jpg"} for number in range(len(sample.pictures))]
    lines += [
        {"query": query, "right": [f"{number}.jpg" for number in sorted(right)]}
        for query, right in zip(sample.queries, sample.right, strict=True)
    ]
    (folder / "probe.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder / "probe.jsonl"


@contextmanager
def server(models: InProcess, folder: Path) -> Iterator[str]:
    """The address of a server that embeds texts, with the rollout's API."""
    with kept(folder) as store:
        rollout = Rollout(models, store, RolloutSettings(file=folder / "x", waiting=1000, patience=60))

        @asynccontextmanager
        async def lifespan(app: FastAPI) -> Any:
            async with rollout:
                yield

        app = FastAPI(lifespan=lifespan)
        install_access(app, AccessSettings(off=True))
        app.include_router(rollout_routes(rollout))

        @app.get("/embed")
        async def embed(text: str) -> str:
            job = Job(EmbedText(text), caller=Caller("shop", text, frozenset()))
            outcome = (await rollout.answer([job]))[0]
            outcome.get()
            return outcome.model

        running = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
        thread = threading.Thread(target=running.run)
        thread.start()
        while not running.started and thread.is_alive():
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()


@contextmanager
def kept(folder: Path) -> Iterator[Store]:
    store = Store(folder / "rollout.sqlite")
    try:
        yield store
    finally:
        store.close()
