"""The OpenAPI describes what there is: whatever is sent, no reply is undocumented, and every route says who may ask."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import schemathesis
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from serving_parts import ColourModel, direct, painted_index

from open_autoglm.serving import Settings, create_app
from open_autoglm.serving.access.permits import Permits

EXAMPLES = int(os.environ.get("API_EXAMPLES", "5"))  # of each operation; set it higher for a long look
OPEN = {"/", "/live", "/ready"}
KEPT = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder: Path = tmp_path_factory.mktemp("schema")
    model = ColourModel()
    with painted_index(folder) as index:
        yield create_app(direct(index, model), Settings(indexes=folder / "root", allowed_hosts=("testserver",)))


def test_no_reply_fails_inside_or_is_undocumented(app: object) -> None:
    operations = [found.ok() for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()]
    assert len(operations) > 15
    for operation in operations:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def asked(case: schemathesis.Case) -> None:
            case.validate_response(case.call(), checks=KEPT)

        asked()


def test_every_body_has_an_example_that_is_right(app: object) -> None:
    document = app.openapi()  # type: ignore[attr-defined]
    bodies = [
        (path, kind, body["schema"])
        for path, methods in document["paths"].items()
        for route in methods.values()
        for kind, body in route.get("requestBody", {}).get("content", {}).items()
    ]
    assert len(bodies) > 10
    for path, kind, body in bodies:
        if kind == "application/json":
            (example,) = body["examples"]
            Draft202012Validator({**body, "components": document["components"]}).validate(example)
        assert "$defs" not in body, path


def test_every_route_says_what_its_caller_must_be_allowed(app: object) -> None:
    missing, actions = [], set()
    for route in routes(app):
        found = [one.call.action for one in route.dependant.dependencies if isinstance(one.call, Permits)]
        actions |= set(found)
        if route.path not in OPEN and len(found) != 1:
            missing.append(route.path)
    assert missing == []
    assert {"embed", "chat", "rerank", "classify", "ground", "ask", "search", "write", "models"} <= actions


def test_what_changes_something_needs_to_be_allowed_to_write(app: object) -> None:
    for route in routes(app):
        if route.methods & {"PUT", "DELETE", "PATCH"} or route.path.endswith("/pictures"):
            (found,) = [one.call.action for one in route.dependant.dependencies if isinstance(one.call, Permits)]
            assert found in {"write", "rollout"}, route.path


def routes(app: object) -> list[APIRoute]:
    """All of them, those of routers included."""
    found: list[APIRoute] = []
    waiting = list(app.routes)  # type: ignore[attr-defined]
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            inner = getattr(route, "original_router", route)  # FastAPI keeps what it includes as it was
            waiting += getattr(inner, "routes", None) or []
    assert len(found) > 15
    return found
