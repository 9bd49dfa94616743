"""What OpenAPI says of bodies that are read by hand and of replies that fail.

It knows schemas and statuses; it knows nothing of how a request is answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from ..schemas import ErrorReply
from .replies import MODEL, SPACE
from .straight import StraightRoute

_TEMPLATE = "#/components/schemas/{model}"
# What may be answered to any request, whatever it asks for.
ANY = (400, 401, 403, 429, 431, 503)
_SAYS = {
    400: "Something about the request is wrong.",
    401: "Who asks is not known.",
    403: "Who asks may not do this.",
    404: "There is no such model, index or picture.",
    408: "The request arrived too slowly.",
    409: "There is one already that is not like it.",
    413: "The request is too large.",
    415: "The request's body is of another kind than is taken.",
    422: "The request does not have the right shape.",
    429: "Too much waits already: come back after the seconds of Retry-After.",
    431: "The request's headers are too large.",
    503: "It cannot be answered now.",
}
_EXAMPLE = {"error": {"message": "The text is empty: type at least one word.", "type": "TextError"}}
_NAMES = {
    MODEL: {"schema": {"type": "string"}, "description": "The model that answered."},
    SPACE: {"schema": {"type": "string"}, "description": "The embedding space of the answer."},
}


def family(tags: list[str] | None = None) -> APIRouter:
    """Routes that document what may be answered to any request."""
    return APIRouter(tags=list(tags or ()), responses=failures(*ANY), route_class=StraightRoute)


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The documented replies of a route that fails in these ways, beside those of any route."""
    return {status: _failure(status) for status in statuses}


def sending(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """As ``failures``, of a route that takes a body."""
    return failures(408, 413, 415, 422, *statuses)


def answered(kind: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """The replies of a route that takes a body and whose answer names its model in the headers."""
    return {200: {"model": kind, "headers": _NAMES}, **sending(*statuses)}


def json_body(kind: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a body that is JSON."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": _schema(kind)}}}}


def either_body(kind: type[BaseModel], image: str, instead_of: Sequence[str]) -> dict[str, Any]:
    """What OpenAPI says of a body that is JSON, or a form with a picture instead of some fields."""
    schema = _schema(kind)
    others = {name: field for name, field in schema["properties"].items() if name not in instead_of}
    picture = {"type": "string", "format": "binary", "description": image}
    needed = ["image", *schema.get("required", [])]
    form = {"type": "object", "required": needed, "properties": {**others, "image": picture}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


def uploads_body(kind: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a form with pictures."""
    schema = _schema(kind)
    pictures = {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "The pictures."}
    form = {"type": "object", "required": ["images"], "properties": {**schema["properties"], "images": pictures}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}}}


def install(app: FastAPI) -> None:
    """Moves the definitions of bodies that are read by hand to where OpenAPI looks for them."""
    written = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = written()
            known = schema.setdefault("components", {}).setdefault("schemas", {})
            for route in (route for routes in schema["paths"].values() for route in routes.values()):
                for body in route.get("requestBody", {}).get("content", {}).values():
                    known.update(body["schema"].pop("$defs", {}))
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]


def _schema(kind: type[BaseModel]) -> dict[str, Any]:
    return kind.model_json_schema(ref_template=_TEMPLATE)


def _failure(status: int) -> dict[str, Any]:
    said: Mapping[str, Any] = {"application/json": {"example": _EXAMPLE}}
    found: dict[str, Any] = {"model": ErrorReply, "description": _SAYS[status], "content": said}
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        found["headers"] = {"Retry-After": {"schema": {"type": "string"}, "description": "Seconds to wait."}}
    return found
