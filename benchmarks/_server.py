"""A real server process for the benchmarks of serving, and requests to it that note what became of them."""

from __future__ import annotations

import asyncio
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
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


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


class Client:
    """Requests over kept connections, as many as it takes, at little cost to the cores shared with a server."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.removeprefix("http://").partition(":")
        self._port = int(port)
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *error: object) -> None:
        for _, writer in self._idle:
            writer.close()

    async def send(self, content: bytes) -> Reply:
        """One request; it never raises."""
        sent = time.perf_counter()
        try:
            reader, writer = self._kept() or await asyncio.open_connection(self._host, self._port)
        except OSError:
            return Reply(REFUSED, sent, time.perf_counter())
        try:
            async with asyncio.timeout(120):
                writer.write(HEAD % (self._host.encode(), len(content)) + content)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            writer.close()
            return Reply(LOST, sent, time.perf_counter())
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return Reply(int(head.split(maxsplit=2)[1]), sent, time.perf_counter())

    def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None
