"""A real server process for the benchmarks of serving, and requests to it that note what became of them."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

SAMPLES = Path(__file__).parent.parent / "samples"
LOST = 0  # the status of a request that was sent and got no reply
REFUSED = -1  # of one that found nobody who listens


@dataclass(frozen=True)
class Reply:
    """Status, and seconds since the benchmark's clock began: sent and answered."""

    status: int
    sent: float
    answered: float

    @property
    def seconds(self) -> float:
        return self.answered - self.sent


@dataclass(frozen=True)
class Server:
    """A server process that is ready."""

    process: subprocess.Popen[str]
    address: str

    def workers(self) -> list[int]:
        """The processes that run the model."""
        return [child.pid for child in psutil.Process(self.process.pid).children()]

    def megabytes(self) -> float:
        """Resident memory of the server and its workers."""
        own = psutil.Process(self.process.pid)
        total = 0
        for process in [own, *own.children()]:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 1e6


@contextmanager
def server(bundle: str, **workers: Any) -> Iterator[Server]:
    """A server of one bundle with these settings of its workers."""
    command = [sys.executable, "-W", "ignore", "-m", "open_autoglm", "serve", "--model", bundle, "--port", "0"]
    told = {f"AUTOGLM_SERVE_WORKERS__{name}".upper(): str(value) for name, value in workers.items()}
    environment = {**os.environ, "AUTOGLM_SERVE_TELEMETRY__LOG_LEVEL": "error", **told}
    with subprocess.Popen([*command, "--cache", "off"], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            address = next(word for word in process.stdout.readline().split() if word.startswith("http")).rstrip("/")
            while httpx.get(f"{address}/ready", timeout=120).status_code != 200:
                time.sleep(0.1)
            yield Server(process, address)
        finally:
            process.kill()


def bodies(count: int, quality: int = 90) -> list[bytes]:
    """Requests of one photo each, as JPEG of 640 x 480 in a data: address; of another quality they are other photos."""
    made = []
    for path in sorted(SAMPLES.rglob("*.jpg"))[:count]:
        file = io.BytesIO()
        Image.open(path).convert("RGB").resize((640, 480)).save(file, "JPEG", quality=quality)
        made.append(body(file.getvalue(), "jpeg"))
    return made


def body(picture: bytes, kind: str) -> bytes:
    """One picture as OpenAI's client would send it."""
    return json.dumps({"input": f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"}).encode()


async def send(client: httpx.AsyncClient, content: bytes) -> Reply:
    """One request; it never raises."""
    sent = time.perf_counter()
    try:
        reply = await client.post("/v1/embeddings", content=content, headers={"Content-Type": "application/json"})
        status = reply.status_code
    except (httpx.ConnectError, httpx.ConnectTimeout):
        status = REFUSED
    except httpx.TransportError:
        status = LOST
    return Reply(status, sent, time.perf_counter())


def client(address: str) -> httpx.AsyncClient:
    """A client that has as many connections as it needs."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(base_url=address, timeout=120, limits=limits)
