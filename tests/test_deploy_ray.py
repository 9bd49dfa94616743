"""The server on Ray Serve: a real cluster of this machine answers, and Ray takes deploy/ray_serve/serve.yaml."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from deploy_parts import DEPLOY, ROOT

pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[ray]'")
pytest.importorskip("grpc", reason="Ray Serve is not installed: pip install -e '.[ray]'")

from pydantic import ValidationError
from ray.serve.schema import ServeDeploySchema

from open_autoglm import load
from open_autoglm.search import Index
from open_autoglm.serving.on_ray import NAME, Arguments

CONFIG: dict[str, Any] = yaml.safe_load((DEPLOY / "ray_serve" / "serve.yaml").read_text(encoding="utf-8"))


# A machine that is busy with other tests takes longer to start all of Ray's processes than Ray would wait.
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_agent_register_timeout_ms": "120000"}
RUN = """
import signal, sys
import ray
from ray import serve
from open_autoglm.serving.on_ray import Arguments, application
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
serve.run(application(Arguments(index=sys.argv[2], settings=sys.argv[3])), name="open-autoglm")
print("serving", flush=True)
signal.sigwait([signal.SIGTERM])
serve.shutdown()
ray.shutdown()
"""


@contextmanager
def serving(index: Path, settings: Path) -> Iterator[str]:
    """The address of a Ray cluster of this machine that serves an index."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **RAY}
    command = [sys.executable, "-c", RUN, str(port), str(index), str(settings)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert any(line == "serving\n" for line in process.stdout), "Ray did not start."
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def test_a_cluster_answers_a_search(tmp_path: Path) -> None:
    with Index.create(tmp_path / "photos.index", load()) as index:
        index.add(sorted((ROOT / "samples" / "grocery").glob("*.jpg"))[:6])
    (tmp_path / "serve.toml").write_text("[access]\noff = true\n")
    with serving(tmp_path / "photos.index", tmp_path / "serve.toml") as address:
        found = httpx.post(f"{address}/v1/search", json={"query": "a carton of milk", "k": 3, "cut": False}, timeout=60)
        assert found.status_code == 200, found.text
        assert len(found.json()["results"]) == 3


def test_ray_takes_the_configuration_and_the_application_its_arguments() -> None:
    (one,) = ServeDeploySchema.model_validate(CONFIG).applications
    assert [deployment.name for deployment in one.deployments] == [NAME]
    assert Arguments.model_validate(one.args)
    with pytest.raises(ValidationError):
        Arguments.model_validate({**one.args, "indx": "a"})
