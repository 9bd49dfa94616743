"""Every failed request's reply: one JSON shape, one sentence, the right status, never a traceback.

It knows what may be raised and HTTP's statuses; it knows nothing of the routes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from ..errors import FilterError, ImageError, OpenAutoGLMError, PictureNotFound, SettingError, TextError
from .indexes import IndexReadOnly, IndexTaken, IndexUnknown
from .intake.fetching import NotFetched
from .pictures import PictureGone
from .schemas import ErrorDetail, ErrorReply, ItemError
from .telemetry.naming import named
from .turns import Busy
from .work import Expired, Overloaded, UnknownModel, WorkerDied

_RETRY = {"Retry-After": "1"}
_MISTAKE = HTTPStatus.BAD_REQUEST


class Refusal(Exception):
    """A request that cannot be answered: its status, a word for programs and a sentence for people."""

    def __init__(self, status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.kind, self.headers = status, kind, headers


class BadItems(Exception):
    """Some items of a request cannot be answered: the place of each and what is wrong with it."""

    def __init__(self, errors: Mapping[int, Exception], items: int) -> None:
        super().__init__(errors)
        self.errors, self.items = dict(errors), items


@dataclass(frozen=True)
class Verdict:
    """How an exception is answered: status, a word for programs, headers."""

    status: int
    kind: str
    headers: Mapping[str, str] | None = None


# The first that fits; what is no mistake of the request (a damaged index, a missing model) the server must put right.
_VERDICTS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], HTTPStatus, Mapping[str, str] | None], ...] = (
    ((PictureNotFound, PictureGone, UnknownModel, IndexUnknown), HTTPStatus.NOT_FOUND, None),
    (IndexReadOnly, HTTPStatus.FORBIDDEN, None),
    (IndexTaken, HTTPStatus.CONFLICT, None),
    ((FilterError, ImageError, NotFetched, SettingError, TextError), _MISTAKE, None),
    (OpenAutoGLMError, HTTPStatus.SERVICE_UNAVAILABLE, None),
    (Busy, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}),
    ((Expired, WorkerDied), HTTPStatus.SERVICE_UNAVAILABLE, _RETRY),
)


def verdict(error: Exception) -> Verdict | None:
    """None for what nobody foresaw."""
    if isinstance(error, Refusal):
        return Verdict(error.status, error.kind, error.headers)
    if isinstance(error, Overloaded):
        retry = {"Retry-After": str(max(1, round(error.retry_after)))}
        return Verdict(HTTPStatus.TOO_MANY_REQUESTS, "Overloaded", retry)
    for kinds, status, headers in _VERDICTS:
        if isinstance(error, kinds):
            return Verdict(status, type(error).__name__, headers)
    return None


def failure(status: int, kind: str, message: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The JSON reply of a failed request."""
    return _reply(status, ErrorDetail(message=message, type=kind), headers)


def item_error(place: int, error: Exception) -> ItemError:
    """What is wrong with one item of a request. Raises the error itself where nobody foresaw it."""
    found = verdict(error)
    if found is None:
        raise error
    return ItemError(index=place, message=str(error), type=found.kind)


def sentence(errors: Sequence[Mapping[str, Any]], above: int = 0) -> str:
    """The first of pydantic's complaints as one sentence, without ``above`` parts of where it is."""
    first = errors[0]
    where = ".".join(_shown(part) for part in first["loc"][above:])
    message = str(first["msg"]).rstrip(".")
    return f"{where}: {message}." if where else f"{message}."


def _shown(part: object) -> str:
    # A field's name may be the sender's own.
    text = str(part)
    return text if (text.isidentifier() or isinstance(part, int)) and len(text) <= 40 else repr(text[:40])


def _reply(status: int, detail: ErrorDetail, headers: Mapping[str, str] | None) -> JSONResponse:
    return JSONResponse(ErrorReply(error=detail).model_dump(exclude_none=True), status, headers)


def _bad_items(error: BadItems) -> JSONResponse:
    """One mistake of the request decides; without any, the request may be sent again as it is."""
    items = [item_error(place, one) for place, one in sorted(error.errors.items())]
    verdicts = [found for one in error.errors.values() if (found := verdict(one)) is not None]
    first = min(verdicts, key=lambda one: one.status >= HTTPStatus.INTERNAL_SERVER_ERROR)
    if error.items == 1:
        return failure(first.status, first.kind, items[0].message, first.headers)
    lead = (
        f"{len(items)} of {error.items} items cannot be answered" if len(items) > 1 else "One item cannot be answered"
    )
    message = f"{lead}; item {items[0].index}: {items[0].message}"
    return _reply(first.status, ErrorDetail(message=message, type=first.kind, items=items), first.headers)


def install(app: FastAPI, headers: Mapping[str, str]) -> None:
    """Answer every exception of ``app`` in one shape; ``headers`` go onto replies no middleware sees."""

    async def known(request: Request, error: Exception) -> JSONResponse:
        found = verdict(error)
        if found is None:  # the handlers below are for the kinds that have one
            raise error
        return failure(found.status, found.kind, str(error), found.headers)

    for kinds in (Refusal, Overloaded, *(kinds for kinds, _, _ in _VERDICTS)):
        for kind in kinds if isinstance(kinds, tuple) else (kinds,):
            app.add_exception_handler(kind, known)

    @app.exception_handler(BadItems)
    async def bad_items(request: Request, error: BadItems) -> JSONResponse:
        return _bad_items(error)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(ValidationError)
    async def misshapen(request: Request, error: RequestValidationError | ValidationError) -> JSONResponse:
        # FastAPI says first that it is in the path, the query or a header.
        above = 1 if isinstance(error, RequestValidationError) else 0
        return failure(HTTPStatus.UNPROCESSABLE_ENTITY, "RequestError", sentence(error.errors(), above))

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
