"""A picture of an index, as it is or as a small JPEG.

It knows HTTP; it knows nothing of where pictures lie.
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends, Header, Response

from ..access import Caller, permits
from ..indexes import DEFAULT_INDEX
from ..pictures import DOWNLOAD
from ..schemas import IndexName, PictureId
from .described import failures, family
from .desk import Desk


class ThumbnailSize(IntEnum):
    """The longer side, in pixels: few sizes, so that a browser finds what it has."""

    SMALL = 320
    MEDIUM = 640
    LARGE = 1600


_FILE = {200: {"content": {"image/*": {}, DOWNLOAD: {}}, "description": "The file."}} | failures(404, 422)
_JPEG = {200: {"content": {"image/jpeg": {}}, "description": "The small JPEG."}, 304: {}} | failures(404, 422)


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router = family(tags=["pictures"])

    async def whole(caller: Caller, index: str, id: int) -> Response:
        found = await desk.service.picture(caller.tenant, index, id)
        disposition = "attachment" if found.media_type == DOWNLOAD else "inline"
        name = quote(found.name, safe="", errors="surrogateescape")
        headers = {"Content-Disposition": f"{disposition}; filename*=UTF-8''{name}"}
        return Response(found.content, media_type=found.media_type, headers=headers)

    async def small(caller: Caller, index: str, id: int, size: ThumbnailSize, known: str | None) -> Response:
        found = await desk.service.thumbnail(caller.tenant, index, id, size, known)
        # The tag is asked for again each time: a picture may change under its id.
        headers = {"ETag": found.tag, "Cache-Control": "private, no-cache"}
        if found.content is None:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(found.content, media_type="image/jpeg", headers=headers)

    @router.get("/v1/pictures/{id}", response_class=Response, responses=_FILE)
    async def picture(id: PictureId, caller: Annotated[Caller, Depends(permits("search"))]) -> Response:
        """A picture of the default index as it is."""
        return await whole(caller, DEFAULT_INDEX, id)

    @router.get("/v1/pictures/{id}/thumbnail", response_class=Response, responses=_JPEG)
    async def thumbnail(
        id: PictureId,
        caller: Annotated[Caller, Depends(permits("search"))],
        size: ThumbnailSize = ThumbnailSize.SMALL,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A small JPEG of a picture of the default index."""
        return await small(caller, DEFAULT_INDEX, id, size, if_none_match)

    @router.get("/v1/indexes/{index}/pictures/{id}", response_class=Response, responses=_FILE)
    async def picture_of(
        index: IndexName, id: PictureId, caller: Annotated[Caller, Depends(permits("search"))]
    ) -> Response:
        """A picture of an index as it is."""
        return await whole(caller, index, id)

    @router.get("/v1/indexes/{index}/pictures/{id}/thumbnail", response_class=Response, responses=_JPEG)
    async def thumbnail_of(
        index: IndexName,
        id: PictureId,
        caller: Annotated[Caller, Depends(permits("search"))],
        size: ThumbnailSize = ThumbnailSize.SMALL,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        """A small JPEG of a picture of an index."""
        return await small(caller, index, id, size, if_none_match)

    return router
