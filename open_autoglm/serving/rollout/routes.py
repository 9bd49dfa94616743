"""The rollout's addresses: how it stands, what a person asks of it, what people chose, and the page.

It knows HTTP; it knows nothing of how a rollout goes on.
"""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import FileResponse

from ...errors import BundleError
from ..access import Caller, permits
from ..failures import Refusal
from ..schemas import ErrorReply
from .models import Rollout
from .schemas import FeedbackReply, FeedbackRequest, RolloutReply, RolloutRequest

_PAGE = Path(__file__).parent.parent / "page" / "rollout.html"
_FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply} for status in (400, 401, 403, 422, 429, 503)
}
Operator = Annotated[Caller, Depends(permits("rollout"))]
Searcher = Annotated[Caller, Depends(permits("search"))]


def rollout_routes(rollout: Rollout) -> APIRouter:
    """The API and the page over ``rollout``."""
    router = APIRouter()

    @router.get("/v1/rollout", responses=_FAILURES)
    async def stands(caller: Operator) -> RolloutReply:
        """What is live, the rollout under way, its figures, and every decision."""
        return RolloutReply.model_validate(await rollout.status())

    @router.post("/v1/rollout", responses=_FAILURES)
    async def act(wanted: RolloutRequest, caller: Operator) -> RolloutReply:
        """Starts a rollout, makes its candidate live, or ends it."""
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

    @router.post("/v1/feedback", responses=_FAILURES)
    async def feedback(given: FeedbackRequest, caller: Searcher) -> FeedbackReply:
        """Which result somebody chose, so that a rollout learns from it."""
        who = f"{caller.tenant}\0{caller.subject}"
        return FeedbackReply(counted=await rollout.feedback(given.model, who, given.score))

    @router.get("/rollout", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_PAGE)

    return router
