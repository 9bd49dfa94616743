"""Stopping and dying, seen by clients of a real server: SIGTERM loses nothing, and no process is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scheduling_parts import BUNDLE, pictures

import open_autoglm

SERVER = Path(__file__).parent / "scheduled_server.py"


@contextmanager
def server(**settings: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address."""
    command = [sys.executable, "-W", "ignore", str(SERVER), json.dumps(settings)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


def send(client: httpx.Client, picture: bytes) -> tuple[int, Any, str | None]:
    """Status, reply and Retry-After; status 0 where the server was not there."""
    try:
        reply = client.post("/embed", content=picture)
    except httpx.ConnectError:
        return 0, None, None
    return reply.status_code, reply.json(), reply.headers.get("retry-after")


def until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [0, 1])
def test_at_sigterm_what_was_accepted_is_answered_and_what_comes_later_is_sent_elsewhere(workers: int) -> None:
    photos = pictures(8)
    with (
        server(workers=workers) as (process, address),
        httpx.Client(base_url=address, timeout=60) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        assert client.get("/ready").status_code == 200
        running: list[Future[tuple[int, Any, str | None]]] = [pool.submit(send, client, photo) for photo in photos]
        until(lambda: any(one.done() for one in running))
        process.send_signal(signal.SIGTERM)
        ready, late = httpx.Response(200), list[tuple[int, Any, str | None]]()
        while process.poll() is None and not all(one.done() for one in running):
            late.append(send(client, photos[0]))
            try:
                ready = client.get("/ready")
            except httpx.TransportError:
                break
        vectors = open_autoglm.load(BUNDLE).embed_images(photos)
        for vector, one in zip(vectors, running, strict=True):
            status, reply, _ = one.result()
            assert status == 200
            np.testing.assert_allclose(reply, vector, atol=1e-5)
        assert {status for status, *_ in late} <= {0, 200, 503}
        refused = [(reply, after) for status, reply, after in late if status == 503]
        for reply, after in refused:
            assert reply["error"]["type"] == "Draining" and after == "5"
        if refused:
            assert ready.status_code == 503 and "stops" in ready.json()
        assert process.wait(30) == -signal.SIGTERM


def test_without_its_server_a_worker_ends() -> None:
    with server() as (process, address):
        own, worker = httpx.get(f"{address}/pids").json()
        assert own == process.pid
        process.kill()
        until(lambda: not running(worker))


def test_ready_turns_red_when_the_model_is_dead_and_green_when_it_is_back() -> None:
    with server(run_seconds=1.0) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/ready").status_code == 200
        worker = client.get("/pids").json()[1]
        time.sleep(1.1)  # as long as a finding is kept
        os.kill(worker, signal.SIGSTOP)
        dead = client.get("/ready")
        assert dead.status_code == 503 and "longer than 1 s" in dead.json()
        until(lambda: client.get("/ready").status_code == 200)
        assert client.post("/embed", content=pictures(1)[0]).status_code == 200


def running(pid: int) -> bool:
    """Whether a process lives; one that ended and that nobody has asked about does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
