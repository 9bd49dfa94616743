"""``/v1/ask`` and ``/v1/ground``: questions about one picture, of an index or sent.

It knows their shapes; it knows nothing of how answers come about.
"""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Request, Response

from ..access import Caller, permits
from ..answers import answer_reply, ground_reply
from ..schemas import AnswerReply, AskRequest, GroundReply, GroundRequest
from ..work import Ask, Ground
from .described import answered, either_body, family
from .desk import Asked, Desk
from .replies import reply

_INSTEAD = ("picture", "index", "image")


def routes(desk: Desk) -> APIRouter:
    """The addresses, over ``desk``."""
    router = family(tags=["pictures"])

    @router.post(
        "/v1/ask",
        openapi_extra=either_body(AskRequest, "The picture to ask about.", _INSTEAD),
        responses=answered(AnswerReply, 404),
    )
    async def ask(request: Request, caller: Annotated[Caller, Depends(permits("ask"))]) -> Response:
        """The answer to a question about a picture of an index, or about one that is sent."""
        async with desk.intake.either(request, AskRequest) as (wanted, image):
            desk.able(wanted.model, Ask, "answer questions")
            choices = tuple(wanted.choices) if wanted.choices is not None else None
            texts, asked = [wanted.question, *(choices or ())], Asked(request, caller, "ask")
            outcome, content = await desk.about(
                asked, wanted, image, texts, lambda content: Ask(content, wanted.question, choices)
            )
            # The heat map is painted as a PNG, which would hold up other requests.
            said = await to_thread.run_sync(answer_reply, outcome, content)
            return reply(said, said.model, said.space)

    @router.post(
        "/v1/ground",
        openapi_extra=either_body(GroundRequest, "The picture to look at.", _INSTEAD),
        responses=answered(GroundReply, 404),
    )
    async def ground(request: Request, caller: Annotated[Caller, Depends(permits("ground"))]) -> Response:
        """Where something is in a picture of an index, or in one that is sent."""
        async with desk.intake.either(request, GroundRequest) as (wanted, image):
            desk.able(wanted.model, Ground, "say where something is")
            asked = Asked(request, caller, "ground")
            outcome, content = await desk.about(
                asked, wanted, image, [wanted.text], lambda content: Ground(content, wanted.text)
            )
            found = await to_thread.run_sync(ground_reply, outcome, content)
            return reply(found, found.model, found.space)

    return router
