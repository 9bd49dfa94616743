"""The shapes of ``/v1/chat/completions``: OpenAI's, with one picture in a chat.

They know nothing of how an answer comes about.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..failures import Refusal
from ..schemas import MOST_CHOICES, ModelName, Region
from .parts import Item, Part, item

_DESCRIBE = re.compile(r"\W*(?:please\s+|can you\s+|could you\s+)*(?:describe|caption)\b", re.IGNORECASE)
_NO_EFFECT = "Taken and without effect: the same question always has the same answer."
Ignored = Annotated[Any, Field(default=None, description=_NO_EFFECT)]


class Message(BaseModel):
    """A message of the chat."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = None

    @property
    def items(self) -> list[Item]:
        """Its texts and pictures; a plain string is always a text."""
        if isinstance(self.content, str):
            return [Item(text=self.content)]
        return [item(part) for part in self.content or ()]


class StreamOptions(BaseModel):
    """What a stream holds beside the answer."""

    include_usage: bool = False
    include_obfuscation: bool | None = None


class PlainText(BaseModel):
    """The one format of an answer."""

    type: Literal["text"]


class ChatRequest(BaseModel):
    """A chat about one picture. Its question is the last user message; what was said before has no effect."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "text", "text": "is there a dog?"},
                                {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,/9j/4AAQSkZJRg=="}},
                            ],
                        }
                    ]
                }
            ]
        },
    )

    model: ModelName = ""
    messages: Annotated[list[Message], Field(min_length=1)]
    guided_choice: Annotated[list[str], Field(min_length=1, max_length=MOST_CHOICES)] | None = Field(
        default=None, description="Answer with one of these."
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    response_format: PlainText | None = None
    user: Annotated[str, Field(max_length=200)] | None = Field(default=None, description="Whom you ask for.")
    frequency_penalty: Ignored
    max_completion_tokens: Ignored
    max_tokens: Ignored
    metadata: Ignored
    presence_penalty: Ignored
    seed: Ignored
    service_tier: Ignored
    stop: Ignored
    store: Ignored
    temperature: Ignored
    top_p: Ignored

    @property
    def question(self) -> str:
        """The texts of the last user message."""
        last = next((message for message in reversed(self.messages) if message.role == "user"), None)
        return " ".join(one.text for one in (last.items if last else ()) if one.text is not None).strip()

    @property
    def picture(self) -> str:
        """The one picture of the chat, as it is named. Raises Refusal where there is none, or are several."""
        found = [one.picture for message in self.messages for one in message.items if one.picture is not None]
        if len(found) != 1:
            said = "There is no picture in the chat" if not found else f"There are {len(found)} pictures in the chat"
            message = f"{said}: one is answered about, as a content part of type 'image_url'."
            raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message)
        return found[0]

    @property
    def asks_to_describe(self) -> bool:
        """Whether the picture is to be put into words, rather than a question about it answered."""
        return self.guided_choice is None and (not self.question or _DESCRIBE.match(self.question) is not None)


class Details(BaseModel):
    """What OpenAI's shape has no place for: the answer itself, null where the model cannot tell, and its grounds.

    ``confidence`` in 0..1; ``reason`` why the model cannot tell whatever the picture; boxes in pixels of the picture
    of ``width`` x ``height``.
    """

    text: str | None
    confidence: float
    reason: str
    width: int
    height: int
    regions: list[Region]


class ChatMessage(BaseModel):
    """The answer; ``refusal`` says the same where the model cannot tell."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: str | None = None


class Choice(BaseModel):
    """The one answer; ``length`` where it was cut off."""

    index: int = 0
    message: ChatMessage
    finish_reason: Literal["stop", "length"]
    logprobs: None = None


class Usage(BaseModel):
    """Tokens of the question and of the answer."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatReply(BaseModel):
    """OpenAI's ``chat.completion``, with ``space`` and ``answer`` beside it."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    space: str
    answer: Details
