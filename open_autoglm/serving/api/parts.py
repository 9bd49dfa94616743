"""Texts and pictures in one list: plain strings, data: URIs, and the content parts that chat clients send.

It knows these shapes; it knows nothing of what is done with an item.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from ..failures import BadItems, Refusal, verdict
from ..intake.sent import ADDRESSES, is_picture
from ..schemas import Sent
from ..work import Expired
from .desk import Desk


def _address(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class ImageUrl(BaseModel):
    """A picture of a content part; ``detail`` has no effect."""

    url: Sent
    detail: str | None = None


class Part(BaseModel):
    """A text or a picture: ``{"type": "text", "text": ...}``, ``{"type": "image_url", "image_url": {"url": ...}}``.

    ``{"text": ...}`` and ``{"image": ...}`` say the same in short.
    """

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"type": "text", "text": "a red apple"}]})

    type: Literal["text", "image_url"] | None = None
    text: str | None = None
    image_url: Annotated[ImageUrl | None, BeforeValidator(_address)] = None
    image: Sent | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Part:
        given = [name for name in ("text", "image_url", "image") if getattr(self, name) is not None]
        if len(given) != 1 or self.type not in (None, *given):
            raise PydanticCustomError("part", "Give either 'text' or one picture, as 'type' says")
        return self


def _plain(value: Any) -> Any:
    """Refuses in one sentence what would be told about each of the two kinds."""
    if not isinstance(value, str | dict | Part):
        raise PydanticCustomError("item", "Give a text, a picture as a data: URI, or an object with one of them")
    return value


def _listed(value: Any) -> Any:
    if isinstance(value, str | dict):
        return [value]
    tokens = value[0] if isinstance(value, list) and value and isinstance(value[0], list) else value
    if isinstance(tokens, list) and tokens and isinstance(tokens[0], int):
        raise PydanticCustomError(
            "tokens", "Token ids cannot be read, the text itself can (LangChain: check_embedding_ctx_length=False)"
        )
    return value


Given = Annotated[str | Part, BeforeValidator(_plain)]
SeveralGiven = Annotated[list[Given], BeforeValidator(_listed), Field(min_length=1)]


@dataclass(frozen=True)
class Item:
    """One text, or one picture as it is named."""

    text: str | None = None
    picture: str | None = None


def item(given: str | Part) -> Item:
    """What was given, told apart: a plain string is a picture if it is a data: URI."""
    if isinstance(given, str):
        return Item(picture=given) if is_picture(given) else Item(text=given)
    if given.text is not None:
        return Item(text=given.text)
    return Item(picture=given.image_url.url if given.image_url is not None else given.image)


async def contents(desk: Desk, items: Sequence[Item]) -> list[str | bytes | Exception]:
    """The text or the picture's bytes of each item, or why it has none.

    Raises Refusal where what is fetched for them is too large together, Expired where it takes too long.
    """
    seconds = desk.settings.requests.seconds
    try:
        async with asyncio.timeout(seconds):
            return await _contents(desk, items)
    except TimeoutError as error:
        raise Expired(f"The pictures did not arrive within {seconds:g} s.") from error


async def _contents(desk: Desk, items: Sequence[Item]) -> list[str | bytes | Exception]:
    found: list[str | bytes | Exception] = []
    room = desk.settings.requests.body_bytes
    for one in items:
        content = await _content(desk, one)
        if one.picture is not None and one.picture.startswith(ADDRESSES) and isinstance(content, bytes):
            room -= len(content)
            if room < 0:
                message = "The pictures at these addresses are too large together: send fewer in one request."
                raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", message)
        found.append(content)
    return found


async def _content(desk: Desk, one: Item) -> str | bytes | Exception:
    if one.picture is None:
        return one.text or ""
    try:
        return await desk.pictures.content(one.picture)
    except Exception as error:
        if verdict(error) is None:
            raise
        return error


def refuse(errors: Iterable[Exception | None]) -> None:
    """Raises BadItems where there is an error among them."""
    several = list(errors)
    if bad := {place: error for place, error in enumerate(several) if error is not None}:
        raise BadItems(bad, len(several))
