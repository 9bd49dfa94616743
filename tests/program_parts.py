"""A program of others that answers over HTTP, run as long as a test needs it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

PATIENCE = 60  # seconds for what takes a few


@contextmanager
def program(command: Sequence[str | Path], healthy: str) -> Iterator[None]:
    """Runs a command, from when the address ``healthy`` answers that all is well."""
    process = subprocess.Popen(command)
    try:
        end = time.monotonic() + PATIENCE
        while not answers(healthy):
            assert process.poll() is None, f"{command[0]} ended."
            assert time.monotonic() < end, f"{command[0]} does not answer."
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def answers(address: str) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(address).status_code == 200
    return False
