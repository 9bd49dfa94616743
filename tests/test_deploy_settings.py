"""What the image, the chart and the compose file start is a command line and settings that the server takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from deploy_parts import KEYS, Resource, only, pod, render, server, variables
from open_autoglm.serving.configuration import read_settings
from test_deploy_chart import CASES

from open_autoglm.cli import app
from open_autoglm.serving.settings import Settings

SERVE = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]


def settings_of(container: Resource, file: Path) -> Settings:
    """The settings that a container's server comes to; what is in a Secret is an address of Redis."""
    given = {
        name: "redis://cache:6379" if value is None or "$(" in value else value
        for name, value in variables(container).items()
    }
    return read_settings(Settings, file, given)


@pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())
def test_the_server_takes_what_the_chart_gives_it(values: Resource, tmp_path: Path) -> None:
    resources = render(values)
    file = tmp_path / "serve.toml"
    file.write_text(only(resources, "ConfigMap")["data"]["serve.toml"])
    for one in resources:
        if one["kind"] == "Deployment" and one["metadata"]["labels"]["app.kubernetes.io/component"] == "server":
            SERVE.make_context("serve", server(one)["args"][1:])
            settings = settings_of(server(one), file)
            assert settings.workers.drain_seconds == 30
            assert "demo-open-autoglm.shop.svc.cluster.local" in settings.allowed_hosts
            settings.access.check_reach("0.0.0.0", True)


def test_a_pod_that_goes_waits_for_what_the_server_promised() -> None:
    one = only(render(KEYS | {"server": {"drainSeconds": 120, "quietSeconds": 15}}), "Deployment")
    settings = settings_of(server(one), Path("/dev/null"))
    assert pod(one)["terminationGracePeriodSeconds"] > settings.workers.drain_seconds + 15
