"""Reads the body of a request, as JSON or as a form with pictures, never beyond its limits in bytes and seconds.

It knows HTTP bodies; it knows nothing of what is asked for, and does not look into a picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from anyio import to_thread
from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from ..failures import Refusal
from ..schemas import MOST_CHOICES
from .limits import RequestLimits

Wanted = TypeVar("Wanted", bound=BaseModel)
Read = TypeVar("Read")

JSON, FORM = "application/json", "multipart/form-data"
# Beside its pictures a form holds words, a filter, boundaries.
_TEXT_BYTES = 2**20
_MOST_FIELDS = MOST_CHOICES + 8
# Reading this much JSON takes about as long as handing it to a thread.
_LARGE = 2**19


@dataclass(frozen=True)
class Upload:
    """A file of a form: what it is called, and its bytes."""

    name: str
    content: bytes


class Intake:
    """Takes bodies in as long as all that are held together stay within ``limits.bytes_waiting``."""

    def __init__(self, limits: RequestLimits, max_picture_bytes: int) -> None:
        self.limits, self.max_picture_bytes = limits, max_picture_bytes
        self._held = 0

    @asynccontextmanager
    async def json(self, request: Request, kind: type[Wanted]) -> AsyncIterator[Wanted]:
        """The request, which must be JSON. Raises as ``either``."""
        if _sent_as(request) != JSON:
            raise _unsupported("Send this as application/json.")
        with _Holding(request, self) as holding:
            yield await _parsed(await holding.whole(), kind)

    @asynccontextmanager
    async def either(self, request: Request, kind: type[Wanted]) -> AsyncIterator[tuple[Wanted, bytes | None]]:
        """The request and its picture's bytes, if one was sent in a form.

        Raises Refusal (400 unreadable, 408 too slow, 413 too large, 415 another kind of body, 429 where too much is
        held already) and pydantic's ValidationError.
        """
        sent = _sent_as(request)
        if sent not in (JSON, FORM):
            raise _unsupported(
                "Send this as application/json, or as multipart/form-data with a picture in the field 'image'."
            )
        with _Holding(request, self) as holding:
            if sent == JSON:
                yield await _parsed(await holding.whole(), kind), None
            else:
                async with _form(request, holding, most_files=1) as form:
                    fields = _fields(form)
                    files = await self._files(form, "image")
                    yield kind.model_validate(fields), files[0].content if files else None

    @asynccontextmanager
    async def uploads(self, request: Request, kind: type[Wanted]) -> AsyncIterator[tuple[Wanted, list[Upload]]]:
        """The fields of a form and its pictures, all in fields 'images'. Raises as ``either``."""
        if _sent_as(request) != FORM:
            raise _unsupported("Send this as multipart/form-data, each picture in a field 'images'.")
        with _Holding(request, self) as holding:
            async with _form(request, holding, most_files=self.limits.items) as form:
                yield kind.model_validate(_fields(form)), await self._files(form, "images")

    async def _files(self, form: FormData, field: str) -> list[Upload]:
        found = []
        for name, value in form.multi_items():
            if not isinstance(value, UploadFile):
                continue
            if name != field:
                message = f"The picture must be in the field {field!r}, not {name!r}."
                raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message)
            if field == "image" and (value.size or 0) > self.max_picture_bytes:
                raise _too_large(self.max_picture_bytes)
            found.append(Upload(value.filename or "", await value.read()))
        return found

    def take(self, size: int) -> None:
        """Counts bytes that are held. Raises Refusal where they are too many beside those of other requests."""
        self._held += size
        if self._held > self.limits.bytes_waiting:
            raise Refusal(
                HTTPStatus.TOO_MANY_REQUESTS,
                "Overloaded",
                "Too much is being sent at once: try again in a moment.",
                {"Retry-After": "1", "Connection": "close"},
            )

    def release(self, size: int) -> None:
        """Bytes that were taken are held no longer."""
        self._held -= size


class _Holding:
    """The body of one request, and how much of it is held."""

    def __init__(self, request: Request, intake: Intake) -> None:
        self._request, self._intake = request, intake
        self._taken = 0

    def __enter__(self) -> _Holding:
        return self

    def __exit__(self, *error: object) -> None:
        self._intake.release(self._taken)

    async def whole(self) -> bytes:
        """Raises Refusal where it is too large, too slow, or breaks off."""
        return await self._in_time(self._joined(), self._deadline())

    async def parts(self) -> AsyncGenerator[bytes]:
        """The same, piece by piece; what is done with a piece does not count."""
        received, deadline = self._received(), self._deadline()
        while (part := await self._in_time(anext(received, None), deadline)) is not None:
            yield part

    def _deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._intake.limits.body_seconds

    async def _in_time(self, reading: Awaitable[Read], deadline: float) -> Read:
        try:
            async with asyncio.timeout_at(deadline):
                return await reading
        except TimeoutError as error:
            raise _too_slow(self._intake.limits.body_seconds) from error
        except ClientDisconnect as error:
            raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", "The request broke off.") from error

    async def _joined(self) -> bytes:
        return b"".join([part async for part in self._received()])

    async def _received(self) -> AsyncGenerator[bytes]:
        limits = self._intake.limits
        declared = self._request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limits.body_bytes:
            raise _too_large(limits.body_bytes)
        async for part in self._request.stream():
            self._taken += len(part)
            self._intake.take(len(part))
            if self._taken > limits.body_bytes:
                raise _too_large(limits.body_bytes)
            yield part


async def _parsed(body: bytes, kind: type[Wanted]) -> Wanted:
    if len(body) < _LARGE:
        return kind.model_validate_json(body)
    return await to_thread.run_sync(kind.model_validate_json, body)


@asynccontextmanager
async def _form(request: Request, holding: _Holding, most_files: int) -> AsyncIterator[FormData]:
    fields = max(_MOST_FIELDS, most_files + 8)  # each file may have a field of its own beside it
    parser = MultiPartParser(
        request.headers, holding.parts(), max_files=most_files, max_fields=fields, max_part_size=_TEXT_BYTES
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        message = f"The form cannot be read: {error.message.rstrip('.')}."
        raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message) from error
    try:
        yield form
    finally:
        await form.close()


def _fields(form: FormData) -> dict[str, str | list[str]]:
    fields: dict[str, list[str]] = {}
    for name, value in form.multi_items():
        if isinstance(value, str) and value:
            fields.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in fields.items()}


def _sent_as(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _unsupported(message: str) -> Refusal:
    return Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "RequestError", message)


def _too_slow(seconds: float) -> Refusal:
    message = f"The request did not arrive within {seconds:g} s: send less at once, or over a faster connection."
    return Refusal(HTTPStatus.REQUEST_TIMEOUT, "TooSlow", message, {"Connection": "close"})


def _too_large(limit: int) -> Refusal:
    shown = f"{limit / 2**20:.1f} MiB" if limit >= 2**20 else f"{limit} bytes"
    message = f"The request is too large: at most {shown} can be sent."
    # Hanging up is what stops a sender that would go on.
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", message, {"Connection": "close"})
