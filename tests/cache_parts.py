"""What the tests of the cache share: a Redis server of their own, a stranger in its place, and a clock they move."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from open_autoglm.cache.codec import KINDS, Entry, pack
from open_autoglm.cache.keys import Key

LATER = 4e9  # seconds since 1970: long after every test
ROOT = Key.of("space", "tenant")


class Clock:
    """A clock that stands still."""

    def __init__(self, now: float = 1e9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def entries(values: Mapping[Key, object], expires: float = LATER) -> dict[Key, Entry]:
    """Values as tiers take them."""
    return {key: pack(key, value, expires) for key, value in values.items()}


def same(one: Any, other: Any) -> None:
    """Holds that two values are equal in type and all their numbers."""
    if isinstance(one, np.ndarray):
        assert isinstance(other, np.ndarray) and one.shape == other.shape
        assert one.dtype.newbyteorder("<") == other.dtype and (one == other).all()
    elif type(one) in KINDS.values():
        assert type(one) is type(other)
        for field in fields(one):
            same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        assert type(other) is tuple and len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, mine in one.items():
            same(mine, other[key])
    else:
        assert type(one) is type(other) and one == other


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """Debian's redis-server on a loopback port, which a test may stop, start, pause and configure."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "no", *options]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            assert self._process.poll() is None, "redis-server ended"
            try:
                self.client().ping()
                return
            except redis.AuthenticationError:
                return
            except (redis.ConnectionError, redis.TimeoutError):
                time.sleep(0.02)

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, protocol=2, socket_timeout=5, retry=Retry(NoBackoff(), 0))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Meanwhile it takes connections and answers nothing."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


def need_redis() -> None:
    """Skips a test where the machine has no redis-server."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed: on Debian, apt-get install redis-server")


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    need_redis()
    server = RedisServer(folder, *options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def stranger(answer: bytes) -> Iterator[str]:
    """The address of a server that answers everything with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        done = threading.Event()

        def talk(connection: socket.socket) -> None:
            with connection:
                try:
                    while connection.recv(65536):
                        connection.sendall(answer)
                except OSError:
                    return

        def accept() -> None:
            while not done.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join()
