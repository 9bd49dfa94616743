"""Routes that are called straight: which they are, and that they are documented, guarded and refused as all are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.testclient import TestClient

from open_autoglm.serving.access import AccessSettings, Caller, permits
from open_autoglm.serving.access.install import install
from open_autoglm.serving.access.keys import new_key
from open_autoglm.serving.api.straight import StraightRoute

Known = Annotated[Caller, Depends(permits("embed"))]


def client(settings: AccessSettings) -> TestClient:
    router = APIRouter(route_class=StraightRoute)

    @router.post("/straight")
    async def straight(request: Request, caller: Known) -> Response:
        return Response(caller.subject.encode() + await request.body())

    @router.post("/with-a-number")
    async def with_a_number(request: Request, caller: Known, number: int) -> Response:
        return Response(f"{caller.subject} {number}")

    @router.post("/in-shape")
    async def in_shape(request: Request, caller: Known) -> dict[str, str]:
        return {"who": caller.subject}

    app = FastAPI()
    install(app, settings)
    app.router.routes.extend(router.routes)
    return TestClient(app)


def test_what_takes_more_or_gives_no_response_is_called_as_ever() -> None:
    asked = client(AccessSettings())
    assert asked.post("/straight", content=b" sent").text == "anonymous sent"
    assert asked.post("/with-a-number?number=3").text == "anonymous 3"
    assert asked.post("/with-a-number?number=three").status_code == 422
    assert asked.post("/in-shape").json() == {"who": "anonymous"}
    assert asked.get("/straight").status_code == 405


@pytest.mark.parametrize("path", ["/straight", "/with-a-number?number=3", "/in-shape"])
def test_nobody_comes_in_unasked(path: str, tmp_path: Path) -> None:
    _, secret = new_key(tmp_path / "keys.jsonl", "ada", "default", ["embed"])
    asked = client(AccessSettings(keys=tmp_path / "keys.jsonl"))
    assert asked.post(path).status_code == 401
    assert asked.post(path, headers={"x-api-key": secret}).status_code == 200


def test_all_are_documented() -> None:
    paths = client(AccessSettings()).get("/openapi.json").json()["paths"]
    assert [paths[path]["post"]["security"] for path in paths] == [[{"TokenOrKey": []}]] * 3
