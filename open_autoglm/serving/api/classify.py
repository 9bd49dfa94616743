"""``/v1/classify``: which of some labels a picture fits.

It knows its shape; it knows nothing of how probabilities come about.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ..access import Caller, permits
from ..indexes import DEFAULT_INDEX
from ..schemas import MOST_CHOICES, IndexName, ModelName, PictureId, Sent, listed
from ..work import Classify
from .described import answered, either_body, family
from .desk import Asked, Desk
from .replies import reply


class ClassifyRequest(BaseModel):
    """A picture of an index or one that is sent, and labels to choose from."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"picture": 1, "labels": ["an apple", "a lemon"]}]}
    )

    picture: PictureId | None = Field(default=None, description="The id of a picture in the index.")
    index: IndexName = DEFAULT_INDEX
    image: Sent | None = Field(default=None, description="A picture that is sent.")
    model: ModelName = ""
    labels: Annotated[list[str], Field(min_length=1, max_length=MOST_CHOICES), BeforeValidator(listed)]


class Label(BaseModel):
    """A label and its probability in 0..1."""

    label: str
    probability: float


class ClassifyReply(BaseModel):
    """The labels and "none of these", the most probable first; the probabilities add up to 1."""

    model: str
    space: str
    labels: list[Label]


def routes(desk: Desk) -> APIRouter:
    """The address, over ``desk``."""
    router = family(tags=["pictures"])

    @router.post(
        "/v1/classify",
        openapi_extra=either_body(ClassifyRequest, "The picture to look at.", ("picture", "index", "image")),
        responses=answered(ClassifyReply, 404),
    )
    async def classify(request: Request, caller: Annotated[Caller, Depends(permits("classify"))]) -> Response:
        """How probable each label is for a picture, and that none of them fits."""
        async with desk.intake.either(request, ClassifyRequest) as (wanted, image):
            desk.able(wanted.model, Classify, "classify")
            asked, labels = Asked(request, caller, "classify"), tuple(wanted.labels)
            outcome, _ = await desk.about(asked, wanted, image, labels, lambda content: Classify(content, labels))
            found = [{"label": label, "probability": chance} for label, chance in outcome.get().items()]
            said = {"model": outcome.model, "space": outcome.space, "labels": found}
            return reply(said, outcome.model, outcome.space)

    return router
