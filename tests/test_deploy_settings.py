"""What the image, the chart and the compose file start is a command line and settings that the server takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from deploy_parts import KEYS, Resource, only, pod, render, server, variables
from envoy_parts import asks
from fastapi.routing import APIRoute
from serving_parts import direct, painted_index
from test_deploy_chart import CASES
from test_deploy_image import composed, started

from open_autoglm.cli import app
from open_autoglm.serving import create_app
from open_autoglm.serving.access.permits import Permits
from open_autoglm.serving.configuration import read_settings
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


def test_the_server_takes_what_the_image_and_compose_start_it_with(tmp_path: Path) -> None:
    SERVE.make_context("serve", started()[2:])
    service = composed()["services"]["server"]
    SERVE.make_context("serve", service["command"][1:])
    settings = read_settings(Settings, None, service["environment"])
    settings.access.check_reach("0.0.0.0", True)


ADDRESSES = re.compile(r"\{\w+\}")


def routes_of(router: Any) -> Iterator[APIRoute]:
    """The routes of an application or router, those of routers within included."""
    for one in router.routes:
        if isinstance(one, APIRoute):
            yield one
        elif hasattr(one, "original_router"):
            yield from routes_of(one.original_router)


def test_envoy_asks_about_every_route_as_the_server_does(tmp_path: Path) -> None:
    with painted_index(tmp_path) as index:
        routes = list(routes_of(create_app(direct(index))))
    assert len(routes) > 15
    for one in routes:
        actions = {needed.call.action for needed in one.dependant.dependencies if isinstance(needed.call, Permits)}
        for method in one.methods:
            document = {"attributes": {"request": {"http": {"method": method, "path": ADDRESSES.sub("1", one.path)}}}}
            assert asks(document) == (actions or {"nothing"}), f"{method} {one.path}"


def test_a_pod_that_goes_waits_for_what_the_server_promised() -> None:
    one = only(render(KEYS | {"server": {"drainSeconds": 120, "quietSeconds": 15}}), "Deployment")
    settings = settings_of(server(one), Path("/dev/null"))
    assert pod(one)["terminationGracePeriodSeconds"] > settings.workers.drain_seconds + 15
