"""``/v1/search``, and the examples and facts that the start page shows.

It knows their shapes; it knows nothing of how pictures are found.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from ..access import Caller, permits
from ..failures import Refusal
from ..indexes import DEFAULT_INDEX, IndexUnknown
from ..schemas import Examples, Info, SearchReply, SearchRequest
from ..telemetry import note_texts
from .described import answered, either_body, family
from .desk import Asked, Desk
from .replies import reply


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router = family(tags=["search"])

    @router.get("/v1/info")
    async def info(caller: Annotated[Caller, Depends(permits("search"))]) -> Info:
        """The default index, or the default model where there is no such index."""
        most = desk.intake.max_picture_bytes
        try:
            found = await desk.service.info(caller.tenant, DEFAULT_INDEX)
        except IndexUnknown:
            served = desk.served("")
            return Info(model=served.name, space=served.space, pictures=0, max_upload_bytes=most)
        return Info(model=found.model, space=found.space, pictures=found.pictures, max_upload_bytes=most)

    @router.get("/v1/examples")
    async def examples(caller: Annotated[Caller, Depends(permits("search"))]) -> Examples:
        """A few searches that find something in the default index."""
        try:
            return Examples(examples=await desk.service.examples(caller.tenant))
        except IndexUnknown:
            return Examples(examples=[])

    @router.post(
        "/v1/search",
        openapi_extra=either_body(SearchRequest, "A picture to find similar ones to.", ("like", "image")),
        responses=answered(SearchReply, 404),
    )
    async def search(request: Request, caller: Annotated[Caller, Depends(permits("search"))]) -> Response:
        """The pictures that match words, a picture that is sent, or both; or are like a picture of the index."""
        async with desk.intake.either(request, SearchRequest) as (wanted, image):
            texts = [wanted.query] if isinstance(wanted.query, str) else list(wanted.query or ())
            desk.check_texts(texts)
            note_texts(texts)
            await desk.reach(Asked(request, caller, "search"), wanted.index)
            if wanted.image is not None:
                if image is not None:
                    raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", "Send one picture as 'image', not two.")
                image = await desk.pictures.content(wanted.image)
            found = await desk.service.search(caller.tenant, wanted, image)
            return reply(found, found.model, found.space)

    return router
