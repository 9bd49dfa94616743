"""The rollout's addresses: how it stands, what a person asks of it, what people chose, and the page.

It knows HTTP; it knows nothing of how a rollout goes on.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel

from ...errors import BundleError
from ..access import Caller, permits
from ..failures import Refusal
from ..schemas import ErrorReply
from .models import Rollout
from .schemas import FeedbackReply, FeedbackRequest, RolloutReply, RolloutRequest

_PAGE = Path(__file__).parent.parent / "page" / "rollout.html"
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply} for status in (400, 401, 403, 413, 422, 429, 503)
}
_MOST_BYTES = 2**16
Wanted = TypeVar("Wanted", bound=BaseModel)
Operator = Annotated[Caller, Depends(permits("rollout"))]
Searcher = Annotated[Caller, Depends(permits("search"))]


def _body(kind: type[BaseModel]) -> dict[str, Any]:
    """What OpenAPI says of a JSON body, with the schemas inside it written out."""
    schema = kind.model_json_schema()
    inner = schema.pop("$defs", {})

    def whole(node: Any) -> Any:
        if isinstance(node, dict) and "$ref" in node:
            return whole(inner[node["$ref"].rpartition("/")[2]])
        if isinstance(node, dict):
            return {name: whole(value) for name, value in node.items()}
        return [whole(value) for value in node] if isinstance(node, list) else node

    return {"requestBody": {"required": True, "content": {"application/json": {"schema": whole(schema)}}}}


async def _read(request: Request, kind: type[Wanted]) -> Wanted:
    """The JSON body, read once the caller is known, and never beyond what the longest one needs."""
    taken = bytearray()
    async for part in request.stream():
        taken += part
        if len(taken) > _MOST_BYTES:
            message = f"The request is too large: at most {_MOST_BYTES // 1024} kB can be sent."
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", message, {"Connection": "close"})
    return kind.model_validate_json(bytes(taken))


def rollout_routes(rollout: Rollout) -> APIRouter:
    """The API and the page over ``rollout``."""
    router = APIRouter()

    @router.get("/v1/rollout", responses=_FAILURES)
    async def stands(caller: Operator) -> RolloutReply:
        """What is live, the rollout under way, its figures, and every decision."""
        return RolloutReply.model_validate(await rollout.status())

    @router.post("/v1/rollout", responses=_FAILURES, openapi_extra=_body(RolloutRequest))
    async def act(request: Request, caller: Operator) -> RolloutReply:
        """Starts a rollout, makes its candidate live, or ends it."""
        wanted = await _read(request, RolloutRequest)
        try:
            if wanted.action == "start":
                await rollout.start(wanted.plan(), caller.subject)
            elif wanted.action == "promote":
                await rollout.promote(caller.subject)
            else:
                await rollout.abort(caller.subject)
        except BundleError as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "BundleError", str(error)) from error
        return RolloutReply.model_validate(await rollout.status())

    @router.post("/v1/feedback", responses=_FAILURES, openapi_extra=_body(FeedbackRequest))
    async def feedback(request: Request, caller: Searcher) -> FeedbackReply:
        """Which result somebody chose, so that a rollout learns from it."""
        given = await _read(request, FeedbackRequest)
        who = f"{caller.tenant}\0{caller.subject}"
        return FeedbackReply(counted=await rollout.feedback(given.model, who, given.score))

    @router.get("/rollout", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE)

    return router
