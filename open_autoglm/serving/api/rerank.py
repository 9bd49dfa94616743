"""``/v1/rerank`` in Cohere's shape: how well pictures fit a text, texts a picture, or either its like.

It knows that shape; it knows nothing of how a fit is judged.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from ...runtime.calibration import NONE_OF_THESE
from ..access import Caller, permits
from ..failures import Refusal, item_error
from ..schemas import ItemError, ModelName
from ..work import Classify, EmbedImage, EmbedText, Match, Outcome, Served, Task
from .described import answered, family, json_body
from .desk import Asked, Desk
from .parts import Given, contents, item, refuse
from .replies import reply, who

PROBABILITY, COSINE = "probability", "cosine"


class RerankRequest(BaseModel):
    """A query, and documents to put into the order of how well they fit it; each a text or a picture.

    Documents must be all texts or all pictures: scores of the two do not compare.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"query": "a red apple", "documents": ["a fruit", "a car"], "top_n": 1}]},
    )

    model: ModelName = ""
    query: Given
    documents: Annotated[list[Given], Field(min_length=1)]
    top_n: Annotated[int, Field(ge=1)] | None = Field(default=None, description="The most results to return.")
    return_documents: bool = Field(default=False, description="Whether each result holds its document.")
    errors: Literal["request", "item"] = Field(
        default="request",
        description="What one bad document does: the request fails and names it, or only it is left out.",
    )


class Ranked(BaseModel):
    """A document by its place in the request, and how well it fits, in 0..1."""

    index: int
    relevance_score: float
    document: dict[str, str] | None = None


class RerankReply(BaseModel):
    """Results, the best first.

    ``score`` says what a relevance_score is: between a text and a picture the calibrated ``probability`` that they
    belong together, between two texts or two pictures their ``cosine``, at least 0. ``errors`` of what is left out.
    """

    id: str
    model: str
    space: str
    score: Literal["probability", "cosine"]
    results: list[Ranked]
    errors: list[ItemError]
    meta: dict[str, Any]


def routes(desk: Desk) -> APIRouter:
    """The address, over ``desk``."""
    router = family()

    @router.post(
        "/v1/rerank",
        tags=["models"],
        openapi_extra=json_body(RerankRequest),
        responses=answered(RerankReply, 404),
    )
    async def rerank(request: Request, caller: Annotated[Caller, Depends(permits("rerank"))]) -> Response:
        """Documents in the order of how well they fit a query."""
        async with desk.intake.json(request, RerankRequest) as wanted:
            return await _rerank(desk, Asked(request, caller, "rerank"), wanted)

    return router


async def _rerank(desk: Desk, asked: Asked, wanted: RerankRequest) -> Response:
    desk.check_items(len(wanted.documents), "Documents")
    served = desk.served(wanted.model)
    query, *documents = await contents(desk, [item(wanted.query), *map(item, wanted.documents)])
    texts = [one for one in (query, *documents) if isinstance(one, str)]
    desk.check_texts(texts)
    if isinstance(query, Exception):
        raise query
    good = {place: one for place, one in enumerate(documents) if not isinstance(one, Exception)}
    errors = [one if isinstance(one, Exception) else None for one in documents]
    if wanted.errors == "request":
        refuse(errors)
    if len({isinstance(one, str) for one in good.values()}) > 1:
        message = "documents: they must be all texts or all pictures, because scores of the two do not compare."
        raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message)
    crossed = all(isinstance(one, str) != isinstance(query, str) for one in good.values())
    judge = _probable if crossed else _alike
    tasks, score = judge(served, query, list(good.values()))
    outcomes, _ = await desk.answer(asked, wanted.model, tasks, texts) if good else ([], 0)
    answers, shared = outcomes[: len(good)], outcomes[len(good) :]
    for outcome in shared:
        outcome.get()
    scores: dict[int, float] = {}
    for place, outcome in zip(good, answers, strict=True):
        errors[place] = outcome.error
        if outcome.error is None:
            scores[place] = min(1.0, max(0.0, score(outcome, shared)))
    if wanted.errors == "request":
        refuse(errors)
    model, space = who(outcomes or [Outcome(served.name, served.space)])
    best = sorted(scores, key=lambda place: (-scores[place], place))[: wanted.top_n]
    content = {
        "id": f"rerank-{secrets.token_hex(12)}",
        "model": model,
        "space": space,
        "score": PROBABILITY if crossed else COSINE,
        "results": [
            {"index": place, "relevance_score": scores[place]}
            | ({"document": _document(wanted.documents[place])} if wanted.return_documents else {})
            for place in best
        ],
        "errors": [item_error(place, error) for place, error in enumerate(errors) if error is not None],
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
    }
    return reply(content, model, space)


Score = Callable[[Outcome, Sequence[Outcome]], float]


def _probable(served: Served, query: str | bytes, documents: Sequence[str | bytes]) -> tuple[list[Task], Score]:
    """Whether a text belongs to a picture, as a model that was trained to match says, or else one that classifies."""
    pairs = [_pair(query, one) for one in documents]
    if Match in served.tasks:
        return [Match(picture, (text,)) for picture, text in pairs], lambda one, _: float(one.value[0])
    if Classify not in served.tasks:
        raise Refusal(HTTPStatus.BAD_REQUEST, "NotAble", f"The model {served.name} cannot rerank: use another.")
    # Beside the one label there is "none of these": the rest of the probability.
    tasks: list[Task] = [Classify(picture, (text,)) for picture, text in pairs]
    return tasks, lambda one, _: 1.0 - one.value[NONE_OF_THESE]


def _alike(served: Served, query: str | bytes, documents: Sequence[str | bytes]) -> tuple[list[Task], Score]:
    """How near two of a kind lie; the query's vector comes last."""
    tasks: list[Task] = [EmbedText(one) if isinstance(one, str) else EmbedImage(one) for one in (*documents, query)]
    return tasks, lambda one, shared: float(np.dot(one.value, shared[0].value))


def _pair(one: str | bytes, other: str | bytes) -> tuple[bytes, str]:
    """The picture of the two, and the text."""
    picture, text = (one, other) if isinstance(one, bytes) else (other, one)
    if not (isinstance(picture, bytes) and isinstance(text, str)):
        raise TypeError("a pair is a picture and a text")
    return picture, text


def _document(given: Given) -> dict[str, str]:
    one = item(given)
    return {"text": one.text} if one.text is not None else {"image": one.picture or ""}
