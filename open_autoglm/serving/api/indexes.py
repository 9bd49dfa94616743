"""``/v1/indexes``: a tenant's own indexes, made, filled with pictures, emptied and dropped.

It knows their shapes; it knows nothing of files.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Json

from ...search import Json as Scalar
from ..access import Caller, permits
from ..failures import Refusal, item_error
from ..indexes.writing import NewPicture
from ..intake.bodies import Upload
from ..schemas import IndexInfo, IndexName, ItemError, ModelName, PictureId, listed
from .described import failures, family, json_body, sending, uploads_body
from .desk import Desk
from .replies import reply


class IndexRequest(BaseModel):
    """How an index is to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"model": "open-autoglm-base"}]})

    model: ModelName = ""


class PicturesRequest(BaseModel):
    """What goes with the pictures of a form: ``metadata``, one JSON object for each of them, in their order."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"metadata": ['{"shelf": "A3"}']}]})

    metadata: Annotated[list[Json[dict[str, Scalar]]], BeforeValidator(listed)] = Field(
        default=[], description='A JSON object a picture, such as {"shelf": "A3"}; or none at all.'
    )


class Indexes(BaseModel):
    """The tenant's indexes."""

    indexes: list[IndexInfo]


class Added(BaseModel):
    """What became of one picture: its id, or its error."""

    index: int
    id: int | None
    error: ItemError | None = None


class AddedReply(BaseModel):
    """One entry a picture, in order."""

    model: str
    space: str
    pictures: list[Added]


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router = family(tags=["indexes"])

    @router.get("/v1/indexes")
    async def indexes(caller: Annotated[Caller, Depends(permits("search"))]) -> Indexes:
        """All of your indexes."""
        names = await desk.service.names(caller.tenant)
        return Indexes(indexes=[await desk.service.info(caller.tenant, name) for name in names])

    @router.get("/v1/indexes/{index}", responses=failures(404, 422))
    async def one(index: IndexName, caller: Annotated[Caller, Depends(permits("search"))]) -> IndexInfo:
        """One of them."""
        return await desk.service.info(caller.tenant, index)

    @router.put(
        "/v1/indexes/{index}",
        openapi_extra=json_body(IndexRequest),
        responses={
            200: {"model": IndexInfo, "description": "It was there already."},
            201: {"model": IndexInfo, "description": "It was made."},
            **sending(404, 409),
        },
    )
    async def create(
        index: IndexName, request: Request, caller: Annotated[Caller, Depends(permits("write"))]
    ) -> Response:
        """Makes an index, unless it is there."""
        async with desk.intake.json(request, IndexRequest) as wanted:
            served = desk.served(wanted.model)
        made = await desk.service.create(caller.tenant, index, desk.index_model(served.name, caller.tenant))
        info = await desk.service.info(caller.tenant, index)
        said = reply(info, info.model, info.space)
        said.status_code = HTTPStatus.CREATED if made else HTTPStatus.OK
        return said

    @router.delete("/v1/indexes/{index}", status_code=HTTPStatus.NO_CONTENT, responses=failures(404, 422))
    async def drop(index: IndexName, caller: Annotated[Caller, Depends(permits("write"))]) -> None:
        """Drops an index with all pictures that were sent for it."""
        await desk.service.drop(caller.tenant, index)

    @router.post(
        "/v1/indexes/{index}/pictures",
        openapi_extra=uploads_body(PicturesRequest),
        responses={200: {"model": AddedReply}, **sending(404)},
    )
    async def add(index: IndexName, request: Request, caller: Annotated[Caller, Depends(permits("write"))]) -> Response:
        """Adds pictures to an index; one that cannot be used has an error, and its neighbours are added."""
        info = await desk.service.info(caller.tenant, index)
        async with desk.intake.uploads(request, PicturesRequest) as (wanted, uploads):
            desk.check_items(len(uploads), "Pictures in fields 'images'")
            outcomes = await desk.service.add(caller.tenant, index, _pictures(uploads, wanted))
        added = [_added(place, outcome) for place, outcome in enumerate(outcomes)]
        return reply({"model": info.model, "space": info.space, "pictures": added}, info.model, info.space)

    @router.delete("/v1/indexes/{index}/pictures/{id}", status_code=HTTPStatus.NO_CONTENT, responses=failures(404, 422))
    async def remove(index: IndexName, id: PictureId, caller: Annotated[Caller, Depends(permits("write"))]) -> None:
        """Takes a picture out of an index."""
        await desk.service.remove(caller.tenant, index, id)

    return router


def _pictures(uploads: list[Upload], wanted: PicturesRequest) -> list[NewPicture]:
    metadata: list[dict[str, Scalar]] = wanted.metadata or [{}] * len(uploads)
    if len(metadata) != len(uploads):
        message = (
            f"metadata: there are {len(metadata)} objects for {len(uploads)} pictures: send one for each, or none."
        )
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "RequestError", message)
    return [NewPicture(upload.name, upload.content, one) for upload, one in zip(uploads, metadata, strict=True)]


def _added(place: int, outcome: int | Exception) -> dict[str, Any]:
    if isinstance(outcome, Exception):
        return {"index": place, "id": None, "error": item_error(place, outcome)}
    return {"index": place, "id": outcome}
