"""OPA's own program, with its plugin for Envoy: a build of openpolicyagent/opa's '-envoy' images, called ``opa``."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cache_parts import free_port

PATIENCE = 30  # seconds for what takes a fraction of one


@contextmanager
def opa(*files: Path, options: tuple[str, ...] = ()) -> Iterator[str]:
    """The address of an OPA that has read some files, with the arguments of docs/deploy.md."""
    if shutil.which("opa") is None:
        pytest.skip("OPA is not installed: put the program of one of its '-envoy' images on the PATH, as 'opa'")
    port, healthy = free_port(), free_port()
    command = ["opa", "run", "--server", f"--addr=127.0.0.1:{port}", f"--diagnostic-addr=127.0.0.1:{healthy}"]
    process = subprocess.Popen([*command, "--disable-telemetry", "--log-level=error", *options, *files])
    try:
        for _ in range(20 * PATIENCE):
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{healthy}/health?plugins").status_code == 200:
                    break
            assert process.poll() is None, "OPA ended."
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
