"""The shapes of the API's requests and replies.

They know nothing of how a request is answered.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ..search import Json

MOST_RESULTS = 500
LARGEST_ID = 2**63 - 1

PictureId = Annotated[int, Field(ge=0, le=LARGEST_ID)]


class SearchRequest(BaseModel):
    """What to search for: exactly one of ``query``, ``like`` and an uploaded picture."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"query": "a red apple", "k": 24, "cut": True}]}
    )

    query: str | None = Field(default=None, description="Words that describe the picture.")
    like: PictureId | None = Field(
        default=None, description="The id of a picture in the index to find similar ones to."
    )
    k: int = Field(default=24, ge=1, le=MOST_RESULTS, description="The most results to return.")
    where: str | None = Field(default=None, description="A filter on the pictures' metadata.")
    cut: bool = Field(default=True, description="Whether to leave out pictures that do not match.")


class Result(BaseModel):
    """A picture found; ``width`` and ``height`` are in pixels, as it is to be shown."""

    id: int
    path: str
    name: str
    score: float
    width: int
    height: int
    metadata: dict[str, Json]


class SearchReply(BaseModel):
    """Results, best first; scores compare only within one embedding ``space``."""

    model: str
    space: str
    results: list[Result]


class Example(BaseModel):
    """A search that finds something in this index, and the picture it finds first."""

    query: str
    picture: Result


class Examples(BaseModel):
    """Searches to suggest."""

    examples: list[Example]


class Info(BaseModel):
    """What is served: the model, its embedding space, the number of pictures, and the limit on an upload."""

    model: str
    space: str
    pictures: int
    max_upload_bytes: int


class Live(BaseModel):
    """The process answers."""

    status: str = "live"


class ErrorDetail(BaseModel):
    """One sentence for people, one word for programs."""

    message: str
    type: str


class ErrorReply(BaseModel):
    """The reply to every request that fails."""

    error: ErrorDetail
