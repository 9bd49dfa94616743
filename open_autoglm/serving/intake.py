"""Reads the body of a request, as JSON or as a form with a picture, never beyond its limit.

It knows HTTP bodies; it knows nothing of what is asked for, and does not look into the picture.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from http import HTTPStatus
from typing import TypeVar

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from .failures import Refusal
from .schemas import MOST_CHOICES

Wanted = TypeVar("Wanted", bound=BaseModel)

# A JSON body holds words and a filter; a form's other fields and its boundaries need as little.
_TEXT_BYTES = 2**20
_MOST_FIELDS = MOST_CHOICES + 8


async def read_request(request: Request, kind: type[Wanted], max_picture_bytes: int) -> tuple[Wanted, bytes | None]:
    """The request and its picture's bytes, if one was sent.

    Raises Refusal (400 unreadable, 413 too large, 415 another kind of body) and pydantic's ValidationError.
    """
    sent = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if sent == "application/json":
        body = b"".join([part async for part in _bounded(request, _TEXT_BYTES)])
        return kind.model_validate_json(body), None
    if sent == "multipart/form-data":
        return await _form_request(request, kind, max_picture_bytes)
    raise Refusal(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "RequestError",
        "Send this as application/json, or as multipart/form-data with a picture in the field 'image'.",
    )


async def _form_request(request: Request, kind: type[Wanted], max_picture_bytes: int) -> tuple[Wanted, bytes | None]:
    body = _bounded(request, max_picture_bytes + _TEXT_BYTES)
    parser = MultiPartParser(request.headers, body, max_files=1, max_fields=_MOST_FIELDS, max_part_size=_TEXT_BYTES)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        message = f"The form cannot be read: {error.message.rstrip('.')}."
        raise Refusal(HTTPStatus.BAD_REQUEST, "RequestError", message) from error
    try:
        fields: dict[str, list[str]] = {}
        for name, value in form.multi_items():
            if isinstance(value, str) and value:
                fields.setdefault(name, []).append(value)
        given = {name: values[0] if len(values) == 1 else values for name, values in fields.items()}
        return kind.model_validate(given), await _picture(form, max_picture_bytes)
    finally:
        await form.close()


async def _picture(form: FormData, max_bytes: int) -> bytes | None:
    files = [(name, value) for name, value in form.items() if isinstance(value, UploadFile)]
    for name, upload in files:
        if name != "image":
            raise Refusal(
                HTTPStatus.BAD_REQUEST,
                "RequestError",
                f"The picture must be in the field 'image', not {name!r}.",
            )
        if (upload.size or 0) > max_bytes:
            raise _too_large(max_bytes)
        return await upload.read()
    return None


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes]:
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    taken = 0
    async for part in request.stream():
        taken += len(part)
        if taken > limit:
            raise _too_large(limit)
        yield part


def _too_large(limit: int) -> Refusal:
    message = f"The request is too large: at most {limit / 2**20:.0f} MB can be sent."
    # Hanging up is what stops a sender that would go on.
    return Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TooLarge", message, {"Connection": "close"})
