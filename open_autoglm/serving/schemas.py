"""The shapes of the API's requests and replies.

They know nothing of how a request is answered.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from ..errors import SettingError
from ..search import Json
from .indexes import DEFAULT_INDEX, NAME, check_name

MOST_RESULTS = 500
MOST_CHOICES = 100
LARGEST_ID = 2**63 - 1

PictureId = Annotated[int, Field(ge=0, le=LARGEST_ID)]


def _index_name(name: str) -> str:
    try:
        check_name(name)
    except SettingError as error:
        raise PydanticCustomError("index", "{sentence}", {"sentence": str(error).rstrip(".")}) from error
    return name


IndexName = Annotated[
    str,
    AfterValidator(_index_name),
    WithJsonSchema({"type": "string", "pattern": NAME, "examples": [DEFAULT_INDEX]}),
    Field(description="An index's name."),
]
ModelName = Annotated[
    str,
    Field(max_length=200, description='A model by its name; "" is the default one.', examples=["open-autoglm-base"]),
]
Sent = Annotated[
    str,
    Field(
        description="A picture as data:image/jpeg;base64,...; or its address, where the server fetches pictures.",
        examples=["data:image/png;base64,iVBORw0KGgo="],
    ),
]


def _texts(value: Any) -> Any:
    """Refuses in one sentence what would be told about each of the two kinds."""
    weighed = isinstance(value, dict) and all(type(weight) in (int, float) for weight in value.values())
    if not (value is None or isinstance(value, str) or weighed):
        raise PydanticCustomError("texts", "Give words, or an object of texts with a number each as its weight")
    return value


class SearchRequest(BaseModel):
    """What to search for: ``query``, an uploaded picture, or both; or else ``like`` by itself."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"query": "a red apple", "k": 24, "cut": True}]}
    )

    query: Annotated[str | dict[str, float] | None, BeforeValidator(_texts)] = Field(
        default=None,
        description="Words that describe the picture; or several texts, each with its weight, below 0 for what is not "
        "wanted. A form takes words alone.",
    )
    image: Sent | None = Field(default=None, description="A picture to find similar ones to.")
    like: PictureId | None = Field(
        default=None, description="The id of a picture in the index to find similar ones to."
    )
    index: IndexName = DEFAULT_INDEX
    k: int = Field(default=24, ge=1, le=MOST_RESULTS, description="The most results to return.")
    where: str | None = Field(default=None, description="A filter on the pictures' metadata.")
    cut: bool = Field(default=True, description="Whether to leave out pictures that do not match.")
    written: bool = Field(
        default=False, description="Whether words in file names, folder names and texts of the metadata count too."
    )


def listed(value: Any) -> Any:
    """A form cannot tell a list of one from a text."""
    return [value] if isinstance(value, str) else value


class AskRequest(BaseModel):
    """A question about a picture of the index, or about an uploaded one."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"picture": 1, "question": "is there a dog?"}]}
    )

    picture: PictureId | None = Field(default=None, description="The id of a picture in the index.")
    index: IndexName = DEFAULT_INDEX
    image: Sent | None = Field(default=None, description="A picture that is sent.")
    model: ModelName = ""
    question: str = Field(description="What you want to know, in plain English.")
    choices: Annotated[list[str], Field(min_length=1, max_length=MOST_CHOICES), BeforeValidator(listed)] | None = Field(
        default=None, description="Answer with one of these."
    )


class GroundRequest(BaseModel):
    """Something to find in a picture of the index, or in an uploaded one."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"picture": 1, "text": "a red apple"}]})

    picture: PictureId | None = Field(default=None, description="The id of a picture in the index.")
    index: IndexName = DEFAULT_INDEX
    image: Sent | None = Field(default=None, description="A picture that is sent.")
    model: ModelName = ""
    text: str = Field(description="What to find, in words.")


class Region(BaseModel):
    """A part of a picture: x0, y0, x1, y1 in pixels of the upright picture, and how probable it is, in 0..1."""

    box: tuple[float, float, float, float]
    score: float


class GroundReply(BaseModel):
    """Where something is in a picture of ``width`` x ``height`` pixels, the best region first.

    ``heatmap``: a grey PNG in a data: address, the whole picture in its own shape, white where the text fits best.
    """

    model: str
    space: str
    width: int
    height: int
    regions: list[Region]
    heatmap: str


class AnswerReply(BaseModel):
    """An answer, null where the model cannot tell, how sure it is in 0..1, and the regions it rests on.

    ``reason``: why the model cannot tell whatever the picture; "" where it is only not sure enough. ``heatmap`` as
    where something is found; null where the answer rests on no region.
    """

    model: str
    space: str
    width: int
    height: int
    answer: str | None
    confidence: float
    reason: str
    regions: list[Region]
    heatmap: str | None


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


class IndexInfo(BaseModel):
    """An index: its name, the model and embedding space it was made with, and how many pictures it has."""

    name: str
    model: str
    space: str
    pictures: int


class ItemError(BaseModel):
    """What is wrong with the item at the place ``index``, counted from 0."""

    index: int
    message: str
    type: str


class ErrorDetail(BaseModel):
    """One sentence for people, one word for programs; ``items`` where several items were sent and some are wrong."""

    message: str
    type: str
    items: list[ItemError] | None = None


class ErrorReply(BaseModel):
    """The reply to every request that fails."""

    error: ErrorDetail
