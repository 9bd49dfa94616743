"""``/v1/chat/completions`` in OpenAI's shape: a question about a picture, or the picture in words.

It knows that shape, streamed and whole; it knows nothing of how answers come about.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic_core import to_json

from ...runtime.answers import Answer
from ...runtime.describing import Description
from ...runtime.images import size
from ..access import Caller, permits
from ..answers import regions
from ..failures import Refusal
from ..work import Ask, Describe, Outcome
from .chat_shapes import ChatMessage, ChatReply, ChatRequest, Choice, Details, Usage
from .described import answered, family, json_body
from .desk import Asked, Desk
from .replies import named, reply

_STREAM = "text/event-stream"


def routes(desk: Desk) -> APIRouter:
    """The address, over ``desk``."""
    router = family()
    responses = answered(ChatReply, 404)
    responses[200]["content"] = {_STREAM: {"schema": {"type": "string"}}}

    @router.post("/v1/chat/completions", tags=["models"], openapi_extra=json_body(ChatRequest), responses=responses)
    async def chat(request: Request, caller: Annotated[Caller, Depends(permits("chat"))]) -> Response:
        """The answer to a question about a picture; or the picture in words, where the model writes."""
        async with desk.intake.json(request, ChatRequest) as wanted:
            said = await _answer(desk, Asked(request, caller, "chat"), wanted)
        if not wanted.stream:
            return reply(said, said.model, said.space)
        usage = wanted.stream_options is not None and wanted.stream_options.include_usage
        # An answer comes at once, when it is finished; only its form is a stream's.
        return Response(b"".join(_events(said, usage)), media_type=_STREAM, headers=named(said.model, said.space))

    return router


async def _answer(desk: Desk, asked: Asked, wanted: ChatRequest) -> ChatReply:
    picture, question = wanted.picture, wanted.question
    served = desk.served(wanted.model)
    texts = [question, *(wanted.guided_choice or ())]
    desk.check_texts(texts)
    describes = wanted.asks_to_describe and Describe in served.tasks
    if not describes:
        desk.able(wanted.model, Ask, "answer questions")
        if not question:
            message = f"Ask something about the picture: the model {served.name} does not describe pictures."
            raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message)
    content = await desk.pictures.content(picture)
    choices = tuple(wanted.guided_choice) if wanted.guided_choice is not None else None
    task = Describe(content) if describes else Ask(content, question, choices)
    ((outcome,), read) = await desk.answer(asked, wanted.model, [task], texts, wanted.user or "")
    details, ended = _details(outcome, content)
    cannot = None if details.text is not None else details.reason or "I cannot tell from this picture."
    text = details.text if cannot is None else cannot
    written = desk.tokens.of(served.name, [text or ""])
    return ChatReply(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        model=outcome.model,
        choices=[
            Choice(message=ChatMessage(content=text or "", refusal=cannot), finish_reason="stop" if ended else "length")
        ],
        usage=Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written),
        space=outcome.space,
        answer=details,
    )


def _details(outcome: Outcome, content: bytes) -> tuple[Details, bool]:
    """What was answered, and whether it ended by itself. Raises the outcome's error."""
    value: Answer | Description = outcome.get()
    width, height = size(content)
    if isinstance(value, Description):
        found = Details(text=value.text, confidence=value.confidence, reason="", width=width, height=height, regions=[])
        return found, value.ended
    return Details(
        text=value.text,
        confidence=value.confidence,
        reason=value.reason,
        width=width,
        height=height,
        regions=regions(value.regions),
    ), True


def _events(said: ChatReply, usage: bool) -> Iterator[bytes]:
    """The reply as OpenAI's chunks."""
    (choice,) = said.choices
    begin: dict[str, Any] = {
        "id": said.id,
        "object": "chat.completion.chunk",
        "created": said.created,
        "model": said.model,
        "space": said.space,
    }
    if usage:
        begin["usage"] = None
    deltas: list[tuple[dict[str, Any], str | None]] = [
        ({"role": "assistant", "content": "", "refusal": None}, None),
        ({"content": choice.message.content}, None),
        ({"refusal": choice.message.refusal} if choice.message.refusal else {}, choice.finish_reason),
    ]
    for delta, finish in deltas:
        part = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        last = {"answer": said.answer} if finish else {}
        yield _event(begin | {"choices": [part]} | last)
    if usage:
        yield _event(begin | {"choices": [], "usage": said.usage})
    yield b"data: [DONE]\n\n"


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + to_json(content) + b"\n\n"
