"""What the tests of deploy/ share: the chart rendered by Helm itself, and its resources looked up."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

# What holds deploy/ to account are programs in wheels, which not every machine has.
helm_python = pytest.importorskip("helm_python", reason="Helm is not installed: pip install -e '.[dev]'")

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "open-autoglm"
KEYS = {"access": {"keysSecret": {"name": "keys"}}}
TOKENS = {
    "access": {
        "tokens": {"issuer": "https://id.example.com", "audiences": ["search"], "jwks": "https://id.example.com/keys"}
    }
}
ISTIO = TOKENS | {
    "candidate": {"enabled": True, "image": {"tag": "0.2.0"}},
    "istio": {
        "enabled": True,
        "hosts": ["search.example.com"],
        "candidateWeight": 5,
        "mirrorPercent": 12.5,
        "requireToken": True,
        "authorizationProvider": "open-autoglm-opa",
    },
    "opa": {"envoy": {"enabled": True}},
}

Resource = dict[str, Any]


def render(values: Resource, name: str = "demo") -> list[Resource]:
    """Everything that ``helm install NAME`` would create in the namespace ``shop``. Raises helm_python.HelmError."""
    return _rendered(json.dumps(values, sort_keys=True), name)


@cache
def _rendered(values: str, name: str) -> list[Resource]:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(json.loads(values), name=name, namespace="shop")
    texts = [text for file, text in files.items() if file.endswith(".yaml")]
    return [one for text in texts for one in yaml.safe_load_all(text) if one]


def only(resources: list[Resource], kind: str, name: str = "demo-open-autoglm") -> Resource:
    """The one resource of a kind and name."""
    (found,) = (one for one in resources if one["kind"] == kind and one["metadata"]["name"] == name)
    return found


def pod(deployment: Resource) -> Resource:
    """What a Deployment says of its pods."""
    return deployment["spec"]["template"]["spec"]


def server(deployment: Resource) -> Resource:
    """The container of the server."""
    (found,) = (one for one in pod(deployment)["containers"] if one["name"] == "server")
    return found


def variables(container: Resource) -> dict[str, str | None]:
    """A container's variables; those from a Secret are None."""
    return {one["name"]: one.get("value") for one in container["env"]}
