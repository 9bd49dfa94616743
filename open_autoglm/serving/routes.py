"""The API's addresses: each takes a request apart, asks the service and puts the reply together.

It knows HTTP; it knows nothing of how pictures are found or read.
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Header, Request, Response
from fastapi import Path as PathParameter

from .failures import Refusal
from .intake import search_request
from .pictures import DOWNLOAD, PictureGone
from .schemas import LARGEST_ID, ErrorReply, Examples, Info, Live, SearchReply, SearchRequest
from .service import Service

PictureId = Annotated[int, PathParameter(ge=0, le=LARGEST_ID)]


class ThumbnailSize(IntEnum):
    """The longer side, in pixels: few sizes, so that a browser finds what it has."""

    SMALL = 320
    MEDIUM = 640
    LARGE = 1600


_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": SearchRequest.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {
                            "type": "string",
                            "format": "binary",
                            "description": "A picture to find similar ones to.",
                        },
                        "k": {"type": "integer"},
                        "where": {"type": "string"},
                        "cut": {"type": "boolean"},
                    },
                }
            },
        },
    }
}


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorReply} for status in statuses}


def api(service: Service) -> APIRouter:
    """The API over ``service``."""
    router = APIRouter()

    @router.get("/live")
    async def live() -> Live:
        """Whether the process answers."""
        return Live()

    @router.get("/v1/info")
    async def info() -> Info:
        """What is served."""
        return await service.info()

    @router.get("/v1/examples")
    async def examples() -> Examples:
        """A few searches that find something in this index."""
        return Examples(examples=await service.examples())

    @router.post("/v1/search", openapi_extra=_REQUEST_BODY, responses=_failures(400, 404, 413, 415, 422))
    async def search(request: Request) -> SearchReply:
        """The pictures that match words, a picture of the index, or an uploaded picture."""
        wanted, image = await search_request(request, service.max_upload_bytes)
        return await service.search(wanted, image)

    @router.get("/v1/pictures/{id}", response_class=Response, responses=_failures(404, 422))
    async def picture(id: PictureId) -> Response:
        """The picture as it was indexed."""
        try:
            found = await service.picture(id)
        except PictureGone as error:
            raise Refusal(HTTPStatus.NOT_FOUND, "PictureGone", str(error)) from error
        disposition = "attachment" if found.media_type == DOWNLOAD else "inline"
        name = quote(found.name, safe="", errors="surrogateescape")
        headers = {"Content-Disposition": f"{disposition}; filename*=UTF-8''{name}"}
        return Response(found.content, media_type=found.media_type, headers=headers)

    @router.get("/v1/pictures/{id}/thumbnail", response_class=Response, responses=_failures(404, 422))
    async def thumbnail(
        id: PictureId,
        size: ThumbnailSize = ThumbnailSize.SMALL,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A small JPEG of the picture."""
        try:
            found = await service.thumbnail(id, size, if_none_match)
        except PictureGone as error:
            raise Refusal(HTTPStatus.NOT_FOUND, "PictureGone", str(error)) from error
        # The tag is asked for again each time: a picture may change under its id.
        headers = {"ETag": found.tag, "Cache-Control": "private, no-cache"}
        if found.content is None:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.content, media_type="image/jpeg", headers=headers)

    return router
