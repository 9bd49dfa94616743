"""The Dockerfile and the compose file: small, pinned, not root, and made of what is in the repository."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy_parts import CHART, DEPLOY, ROOT
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from serving_parts import painted_index, serve

compose_spec = pytest.importorskip("compose_spec", reason="compose-spec is not installed: pip install -e '.[dev]'")
DOCKERFILE = DEPLOY / "Dockerfile"
COMPOSE = DEPLOY / "compose.yaml"


def lines(kind: str) -> list[str]:
    """What follows each instruction of a kind."""
    parsed = DockerfileParser(fileobj=DOCKERFILE.open("rb+"), env_replace=False).structure
    return [one["value"] for one in parsed if one["instruction"] == kind]


def started() -> list[str]:
    """The command line with which the image starts."""
    (entry,), (command,) = lines("ENTRYPOINT"), lines("CMD")
    return [*json.loads(entry), *json.loads(command)]


def health_check() -> list[str]:
    (check,) = lines("HEALTHCHECK")
    found: list[str] = json.loads(check.partition("CMD")[2])
    return found


def test_hadolint_has_no_complaint() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, DOCKERFILE], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_is_built_apart_and_runs_as_nobody() -> None:
    assert len(lines("FROM")) == 2
    assert lines("USER") == ["10001:10001"]
    assert lines("STOPSIGNAL") == ["SIGTERM"]


def test_the_server_is_the_first_process() -> None:
    assert started()[:2] == ["autoglm", "serve"]


def test_the_base_is_of_one_version() -> None:
    (version,) = (one.partition("=")[2] for one in lines("ARG") if one.startswith("PYTHON="))
    assert {one.split()[0] for one in lines("FROM")} == {"python:${PYTHON}"}
    assert re.fullmatch(r"3\.\d+-slim-\w+", version)


def test_what_is_copied_is_there_and_gets_in() -> None:
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    allowed = [line[1:] for line in kept if line.startswith("!")]
    assert kept[kept.index("*") :][0] == "*"
    for line in lines("COPY"):
        if not line.startswith("--from"):
            for source in line.split()[:-1]:
                assert (ROOT / source).exists()
                assert any(source == one or source.startswith(f"{one}/") for one in allowed), source


def test_caches_and_hidden_files_stay_out() -> None:
    left_out = (DEPLOY / "Dockerfile.dockerignore").read_text().split()[-2:]
    assert left_out == ["**/__pycache__", "**/.*"]
    assert any(fnmatch.fnmatch("open_autoglm/.secrets", one) for one in left_out)


def test_the_image_has_no_torch() -> None:
    (extras,) = (one.partition("=")[2] for one in lines("ARG") if one.startswith("EXTRAS="))
    waiting, seen = [f"open-autoglm[{extras}]"], set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    while waiting:
        wanted = Requirement(waiting.pop())
        if (str(wanted)) in seen or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(str(wanted))
        if wanted.name == "open-autoglm":
            waiting += project["dependencies"] if not wanted.extras else []
            waiting += [one for extra in wanted.extras for one in project["optional-dependencies"][extra]]
            waiting += ["open-autoglm"] if wanted.extras else []
        else:
            waiting += [one for one in distribution(wanted.name).requires or [] if "extra ==" not in one]
    names = {Requirement(one).name for one in seen}
    assert {"fastapi", "onnxruntime", "redis", "regopy"} <= names
    assert not names & {"torch", "transformers", "ray", "openvino"}


def test_the_health_check_sees_whether_the_server_lives(tmp_path: Path) -> None:
    _, *arguments = health_check()
    with painted_index(tmp_path) as index, serve(index) as address:
        here = [one.replace("http://127.0.0.1:8765", address) for one in arguments]
        assert subprocess.run([sys.executable, *here]).returncode == 0
    assert subprocess.run([sys.executable, *here], capture_output=True).returncode != 0


def composed() -> dict[str, Any]:
    """The compose file, with what several services share written out."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return found


def test_compose_takes_the_file() -> None:
    compose_spec.PyCompose.from_yaml(yaml.safe_dump(composed()))
    wrong = composed()
    wrong["services"]["server"]["cap_dropp"] = ["ALL"]
    with pytest.raises(ValueError, match="cap_dropp"):
        compose_spec.PyCompose.from_yaml(yaml.safe_dump(wrong))


def test_services_are_confined_pinned_and_reached_from_this_machine_alone() -> None:
    for name, service in composed()["services"].items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert re.search(r":v?\d", service["image"]), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name


def test_what_the_services_are_given_is_there() -> None:
    file = composed()
    for service in file["services"].values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in file["volumes"], source
        assert {one["source"] for one in service.get("configs", [])} <= file["configs"].keys()
        assert set(service.get("secrets", [])) <= file["secrets"].keys()
    for config in file["configs"].values():
        assert yaml.safe_load(config["content"])


def test_the_server_has_time_to_finish() -> None:
    service = composed()["services"]["server"]
    drain = float(service["environment"]["AUTOGLM_SERVE_WORKERS__DRAIN_SECONDS"])
    assert float(service["stop_grace_period"].rstrip("s")) > drain


def test_all_say_the_same_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert {chart["version"], chart["appVersion"]} == {version}
    assert composed()["services"]["server"]["image"] == f"open-autoglm:{version}"
