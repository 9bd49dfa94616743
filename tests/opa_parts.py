"""OPA's own program, with its plugin for Envoy: a build of openpolicyagent/opa's '-envoy' images, called ``opa``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cache_parts import free_port
from program_parts import program


@contextmanager
def opa(*files: Path, options: tuple[str, ...] = ()) -> Iterator[str]:
    """The address of an OPA that has read some files, with the arguments of docs/deploy.md."""
    if shutil.which("opa") is None:
        pytest.skip("OPA is not installed: put the program of one of its '-envoy' images on the PATH, as 'opa'")
    port, healthy = free_port(), free_port()
    command = ["opa", "run", "--server", f"--addr=127.0.0.1:{port}", f"--diagnostic-addr=127.0.0.1:{healthy}"]
    command += ["--disable-telemetry", "--log-level=error", *options]
    with program([*command, *files], f"http://127.0.0.1:{healthy}/health?plugins"):
        yield f"http://127.0.0.1:{port}"
