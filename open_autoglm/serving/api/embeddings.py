"""``/v1/embeddings`` in OpenAI's shape, for texts and pictures alike.

It knows that shape; it knows nothing of how vectors come about.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Depends, Request, Response
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ..access import Caller, permits
from ..failures import Refusal, item_error
from ..schemas import ItemError, ModelName
from ..work import EmbedImage, EmbedText, Outcome, Task
from .described import answered, family, json_body
from .desk import Asked, Desk
from .parts import Given, Item, SeveralGiven, contents, item, refuse
from .replies import reply, who

Floats = NDArray[np.float32]


class EmbeddedMessage(BaseModel):
    """A message of a chat, whose content is one text or one picture."""

    role: str = "user"
    content: str | list[Given]


class EmbeddingsRequest(BaseModel):
    """Texts and pictures to turn into vectors: ``input``, or ``messages`` with one content part."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"input": ["a red apple", "data:image/jpeg;base64,/9j/4AAQSkZJRg=="]}]},
    )

    model: ModelName = ""
    input: SeveralGiven | None = Field(
        default=None, description="A text, a picture as a data: URI, a content part, or a list of them."
    )
    messages: Annotated[list[EmbeddedMessage], Field(min_length=1)] | None = Field(
        default=None, description="A chat with one content part in all, as vLLM takes it."
    )
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="base64: the vector's float32 numbers, little-endian."
    )
    dimensions: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Keep so many numbers of each vector, scaled to length 1 again."
    )
    errors: Literal["request", "item"] = Field(
        default="request",
        description="What one bad item does: the request fails and names it, or only the item has an error.",
    )
    user: str = Field(default="", max_length=200, description="Whom you ask for.")

    @model_validator(mode="after")
    def _has_one(self) -> EmbeddingsRequest:
        if (self.input is None) == (self.messages is None):
            raise PydanticCustomError("input", "Give either 'input' or 'messages'")
        return self

    def items(self) -> list[Item]:
        if self.messages is None:
            return [item(one) for one in self.input or ()]
        parts = [part for message in self.messages for part in _parts(message.content)]
        if len(parts) != 1:
            raise Refusal(
                HTTPStatus.BAD_REQUEST,
                "RequestError",
                f"The messages hold {len(parts)} texts and pictures: each has a vector of its own, so send one of "
                "them, or several as 'input'.",
            )
        return [item(parts[0])]


class Embedding(BaseModel):
    """A vector of length 1, as numbers or in base64; null with an ``error`` where the item was bad."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str | None
    error: ItemError | None = None


class EmbeddingsUsage(BaseModel):
    """Tokens of the texts, and how many pictures there were beside them."""

    prompt_tokens: int
    total_tokens: int
    images: int


class EmbeddingsReply(BaseModel):
    """One entry an item, in order; vectors compare only within one ``space``."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    space: str
    usage: EmbeddingsUsage


def routes(desk: Desk) -> APIRouter:
    """The address, over ``desk``."""
    router = family()

    @router.post(
        "/v1/embeddings",
        tags=["models"],
        openapi_extra=json_body(EmbeddingsRequest),
        responses=answered(EmbeddingsReply, 404),
    )
    async def embeddings(request: Request, caller: Annotated[Caller, Depends(permits("embed"))]) -> Response:
        """Vectors of texts and pictures, in one space."""
        async with desk.intake.json(request, EmbeddingsRequest) as wanted:
            return await _embed(desk, Asked(request, caller, "embed"), wanted)

    return router


async def _embed(desk: Desk, asked: Asked, wanted: EmbeddingsRequest) -> Response:
    items = wanted.items()
    desk.check_items(len(items), "Texts and pictures")
    served = desk.served(wanted.model)
    if wanted.dimensions is not None and wanted.dimensions > served.dimension:
        message = f"dimensions: {served.name} gives vectors of {served.dimension} numbers, not {wanted.dimensions}."
        raise Refusal(HTTPStatus.BAD_REQUEST, "SettingError", message)
    sent = await contents(desk, items)
    texts = [one for one in sent if isinstance(one, str)]
    desk.check_texts(texts)
    errors: list[Exception | None] = [one if isinstance(one, Exception) else None for one in sent]
    if wanted.errors == "request":
        refuse(errors)
    tasks: list[Task] = [_task(one) for one in sent if not isinstance(one, Exception)]
    outcomes, tokens = await desk.answer(asked, wanted.model, tasks, texts, wanted.user) if tasks else ([], 0)
    vectors: list[Floats | None] = [None] * len(items)
    for place, outcome in zip((place for place, error in enumerate(errors) if error is None), outcomes, strict=True):
        vectors[place], errors[place] = outcome.value, outcome.error
    if wanted.errors == "request":
        refuse(errors)
    model, space = who(outcomes or [Outcome(served.name, served.space)])
    content = {
        "object": "list",
        "data": [
            {"object": "embedding", "index": place, **_entry(place, vector, error, wanted)}
            for place, (vector, error) in enumerate(zip(vectors, errors, strict=True))
        ],
        "model": model,
        "space": space,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "images": len(sent) - len(texts)},
    }
    return reply(content, model, space)


def _entry(place: int, vector: Floats | None, error: Exception | None, wanted: EmbeddingsRequest) -> dict[str, Any]:
    if vector is None or error is not None:
        return {"embedding": None, "error": item_error(place, error or RuntimeError("no vector"))}
    if wanted.dimensions is not None:
        vector = shortened(vector, wanted.dimensions)
    if wanted.encoding_format == "base64":
        return {"embedding": binascii.b2a_base64(vector.astype("<f4").tobytes(), newline=False).decode("ascii")}
    return {"embedding": vector.tolist()}


def shortened(vector: Floats, dimensions: int) -> Floats:
    """The first numbers of a vector, scaled to length 1."""
    kept = vector[:dimensions]
    length = np.linalg.norm(kept)
    return kept / length if length > 0 else kept


def _task(sent: str | bytes) -> Task:
    return EmbedText(sent) if isinstance(sent, str) else EmbedImage(sent)


def _parts(content: str | Sequence[Given]) -> list[Any]:
    return [content] if isinstance(content, str) else list(content)
