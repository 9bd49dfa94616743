"""The API's addresses: each takes a request apart, asks the service and puts the reply together.

It knows HTTP; it knows nothing of how pictures are found or read.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel

from .access import permits
from .intake import read_request
from .pictures import DOWNLOAD
from .schemas import (
    LARGEST_ID,
    AnswerReply,
    AskRequest,
    ErrorReply,
    Examples,
    GroundReply,
    GroundRequest,
    Info,
    Live,
    SearchReply,
    SearchRequest,
)
from .service import Service

PictureId = Annotated[int, PathParameter(ge=0, le=LARGEST_ID)]


class ThumbnailSize(IntEnum):
    """The longer side, in pixels: few sizes, so that a browser finds what it has."""

    SMALL = 320
    MEDIUM = 640
    LARGE = 1600


def _body(kind: type[BaseModel], image: str, instead_of: Sequence[str]) -> dict[str, Any]:
    """What OpenAPI says of a body that is JSON, or a form with a picture instead of some fields."""
    schema = kind.model_json_schema()
    others = {name: field for name, field in schema["properties"].items() if name not in instead_of}
    picture = {"type": "string", "format": "binary", "description": image}
    needed = ["image", *schema.get("required", [])]
    form = {"type": "object", "required": needed, "properties": {"image": picture, **others}}
    content = {"application/json": {"schema": schema}, "multipart/form-data": {"schema": form}}
    return {"requestBody": {"required": True, "content": content}}


_SEARCH = _body(SearchRequest, "A picture to find similar ones to.", instead_of=("like",))
_ASK = _body(AskRequest, "The picture to ask about.", instead_of=("picture",))
_GROUND = _body(GroundRequest, "The picture to look at.", instead_of=("picture",))


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorReply} for status in statuses}


def api(service: Service) -> APIRouter:
    """The API over ``service``."""
    router = APIRouter()

    @router.get("/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live()

    @router.get("/v1/info", dependencies=[Depends(permits("search"))])
    async def info() -> Info:
        """What is served."""
        return await service.info()

    @router.get("/v1/examples", dependencies=[Depends(permits("search"))])
    async def examples() -> Examples:
        """A few searches that find something in this index."""
        return Examples(examples=await service.examples())

    @router.post(
        "/v1/search",
        dependencies=[Depends(permits("search"))],
        openapi_extra=_SEARCH,
        responses=_failures(400, 404, 413, 415, 422, 503),
    )
    async def search(request: Request) -> SearchReply:
        """The pictures that match words, an uploaded picture, or both; or are like a picture of the index."""
        wanted, image = await read_request(request, SearchRequest, service.max_upload_bytes)
        return await service.search(wanted, image)

    @router.post(
        "/v1/ask",
        dependencies=[Depends(permits("ask"))],
        openapi_extra=_ASK,
        responses=_failures(400, 404, 413, 415, 422, 503),
    )
    async def ask(request: Request) -> AnswerReply:
        """The answer to a question about a picture of the index, or about an uploaded picture."""
        wanted, image = await read_request(request, AskRequest, service.max_upload_bytes)
        return await service.ask(wanted, image)

    @router.post(
        "/v1/ground",
        dependencies=[Depends(permits("ground"))],
        openapi_extra=_GROUND,
        responses=_failures(400, 404, 413, 415, 422, 503),
    )
    async def ground(request: Request) -> GroundReply:
        """Where something is in a picture of the index, or in an uploaded picture."""
        wanted, image = await read_request(request, GroundRequest, service.max_upload_bytes)
        return await service.ground(wanted, image)

    @router.get(
        "/v1/pictures/{id}",
        dependencies=[Depends(permits("search"))],
        response_class=Response,
        responses=_failures(404, 422),
    )
    async def picture(id: PictureId) -> Response:
        """The picture as it was indexed."""
        found = await service.picture(id)
        disposition = "attachment" if found.media_type == DOWNLOAD else "inline"
        name = quote(found.name, safe="", errors="surrogateescape")
        headers = {"Content-Disposition": f"{disposition}; filename*=UTF-8''{name}"}
        return Response(found.content, media_type=found.media_type, headers=headers)

    @router.get(
        "/v1/pictures/{id}/thumbnail",
        dependencies=[Depends(permits("search"))],
        response_class=Response,
        responses=_failures(404, 422),
    )
    async def thumbnail(
        id: PictureId,
        size: ThumbnailSize = ThumbnailSize.SMALL,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A small JPEG of the picture."""
        found = await service.thumbnail(id, size, if_none_match)
        # The tag is asked for again each time: a picture may change under its id.
        headers = {"ETag": found.tag, "Cache-Control": "private, no-cache"}
        if found.content is None:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.content, media_type="image/jpeg", headers=headers)

    return router
