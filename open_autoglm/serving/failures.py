"""Every failed request's reply: one JSON shape, one sentence, the right status, never a traceback.

It knows what may be raised and HTTP's statuses; it knows nothing of the routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ..errors import FilterError, ImageError, OpenAutoGLMError, PictureNotFound, SettingError, TextError
from .pictures import PictureGone
from .schemas import ErrorDetail, ErrorReply
from .service import Busy
from .telemetry.naming import named

_USER_MISTAKES = (FilterError, ImageError, SettingError, TextError)


class Refusal(Exception):
    """A request that cannot be answered: its status, a word for programs and a sentence for people."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, headers


def failure(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The JSON reply of a failed request."""
    body = ErrorReply(error=ErrorDetail(message=message, type=kind))
    return JSONResponse(body.model_dump(), status, headers)


def sentence(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first of pydantic's complaints as one sentence."""
    first = errors[0]
    where = ".".join(_shown(part) for part in first["loc"] if part not in ("body", "path", "query"))
    message = str(first["msg"]).rstrip(".")
    return f"{where}: {message}." if where else f"{message}."


def _shown(part: object) -> str:
    # A field's name may be the sender's own.
    text = str(part)
    return text if text.isidentifier() and len(text) <= 40 else repr(text[:40])


def install(app: FastAPI, headers: Mapping[str, str]) -> None:
    """Answer every exception of ``app`` in one shape; ``headers`` go onto replies no middleware sees."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, error: Refusal) -> JSONResponse:
        return failure(error.status, error.kind, str(error), error.headers)

    @app.exception_handler(OpenAutoGLMError)
    async def known(request: Request, error: OpenAutoGLMError) -> JSONResponse:
        # What is no mistake of the request (a damaged index, a missing model) is the server's to put right.
        status = HTTPStatus.BAD_REQUEST if isinstance(error, _USER_MISTAKES) else HTTPStatus.SERVICE_UNAVAILABLE
        status = HTTPStatus.NOT_FOUND if isinstance(error, PictureNotFound) else status
        return failure(status, type(error).__name__, str(error))

    @app.exception_handler(PictureGone)
    async def gone(request: Request, error: PictureGone) -> JSONResponse:
        return failure(HTTPStatus.NOT_FOUND, "PictureGone", str(error))

    @app.exception_handler(Busy)
    async def busy(request: Request, error: Busy) -> JSONResponse:
        return failure(HTTPStatus.SERVICE_UNAVAILABLE, "Busy", str(error), {"Retry-After": "5"})

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def misshapen(request: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        return failure(HTTPStatus.UNPROCESSABLE_ENTITY, "RequestError", sentence(error.errors()))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        phrase = HTTPStatus(error.status_code).phrase
        return failure(error.status_code, phrase.replace(" ", ""), f"{phrase}: {request.url.path}", error.headers)

    @app.exception_handler(Exception)
    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        message = "The server failed to answer this request; its log says why."
        # The server hangs up after an exception, so the client must not reuse the connection.
        headers_now = {**headers, **named(request.scope), "Connection": "close"}
        return failure(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", message, headers_now)
