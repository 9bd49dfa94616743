"""What the API does, off the event loop and with bounded concurrency: search, answer, describe, read pictures.

It knows the index and picture intake; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ..errors import ImageError, PictureNotFound, SettingError
from ..search import Hit, Index
from .answers import answer_reply, ground_reply
from .pictures import Picture, PictureGone, Thumbnail, read_picture, read_thumbnail
from .schemas import (
    AnswerReply,
    AskRequest,
    Example,
    GroundReply,
    GroundRequest,
    Info,
    Result,
    SearchReply,
    SearchRequest,
)
from .settings import Settings

T = TypeVar("T")
_MOST_EXAMPLES = 6


class Busy(Exception):
    """So many wait before a request that its turn did not come."""


class Service:
    """An index, open for many readers at once."""

    def __init__(self, index: Index, settings: Settings) -> None:
        self._index = index
        self._settings = settings
        self._searches = anyio.Semaphore(settings.searches)
        self._decodes = CapacityLimiter(settings.decodes)
        self._suggesting = anyio.Lock()
        self._examples: list[Example] | None = None

    @property
    def max_upload_bytes(self) -> int:
        return self._settings.limits.max_bytes

    async def info(self) -> Info:
        """What is served."""
        return await self._search_thread(self._info)

    async def search(self, request: SearchRequest, image: bytes | None) -> SearchReply:
        """The pictures found, best first. Raises what Index.search does: PictureNotFound for an unknown ``like``."""
        return await self._search_thread(partial(self._reply, request, image))

    async def ask(self, request: AskRequest, image: bytes | None) -> AnswerReply:
        """The answer to a question about one picture. Raises what Model.ask does, PictureNotFound and PictureGone."""
        return await self._search_thread(partial(self._ask, request, image))

    async def ground(self, request: GroundRequest, image: bytes | None) -> GroundReply:
        """Where in one picture something is. Raises what Model.ground does, PictureNotFound and PictureGone."""
        return await self._search_thread(partial(self._ground, request, image))

    async def examples(self) -> list[Example]:
        """Searches that find something, each another picture first; worked out once, when first asked for."""
        async with self._suggesting:
            if self._examples is None:
                self._examples = await self._search_thread(self._find_examples)
            return self._examples

    async def picture(self, id: int) -> Picture:
        """A picture's original bytes. Raises PictureNotFound for an unknown id and PictureGone."""
        return await to_thread.run_sync(self._read, id, limiter=self._decodes)

    async def thumbnail(self, id: int, longest: int, known: str | None) -> Thumbnail:
        """A JPEG of at most ``longest`` pixels, none where ``known`` has its tag. Raises as ``picture``."""
        return await to_thread.run_sync(self._thumbnail, id, longest, known, limiter=self._decodes)

    async def _search_thread(self, work: Callable[[], T]) -> T:
        """Raises Busy. What has begun is always finished: a thread cannot be stopped."""
        with anyio.move_on_after(self._settings.patience) as waiting:
            await self._searches.acquire()
        if waiting.cancelled_caught:
            raise Busy("Too many searches and questions wait before this one: try again in a moment.")
        try:
            return await to_thread.run_sync(work)
        finally:
            self._searches.release()

    @cached_property
    def _made_with(self) -> tuple[str, str]:
        info = self._index.info()
        return info["model"], info["space"]

    def _info(self) -> Info:
        model, space = self._made_with
        return Info(
            model=model,
            space=space,
            pictures=len(self._index),
            max_upload_bytes=self.max_upload_bytes,
        )

    def _reply(self, request: SearchRequest, image: bytes | None) -> SearchReply:
        model, space = self._made_with
        return SearchReply(model=model, space=space, results=self._search(request, image))

    def _search(self, request: SearchRequest, image: bytes | None) -> list[Result]:
        hits = self._index.search(
            request.query,
            image=image,
            like=request.like,
            k=request.k,
            where=request.where,
            cut=request.cut,
            written=request.written,
        )
        return [result for hit in hits if (result := self._result(hit))]

    def _ask(self, request: AskRequest, image: bytes | None) -> AnswerReply:
        with self._looked_at(request.picture, image) as content:
            answer = self._index.model.ask(content, request.question, request.choices)
            return answer_reply(self._made_with[0], content, answer)

    def _ground(self, request: GroundRequest, image: bytes | None) -> GroundReply:
        with self._looked_at(request.picture, image) as content:
            return ground_reply(self._made_with[0], content, self._index.model.ground(content, request.text))

    @contextmanager
    def _looked_at(self, id: int | None, image: bytes | None) -> Iterator[bytes]:
        """The bytes of the one picture that is asked about."""
        if (id is None) == (image is None):
            raise SettingError("Ask about one picture: give its id as 'picture', or a picture in the field 'image'.")
        if id is None:
            yield image or b""
            return
        try:
            yield self._read(id).content
        except ImageError as error:
            raise PictureGone("The picture's file can no longer be read as a picture.") from error

    def _result(self, hit: Hit) -> Result | None:
        try:
            record = self._index.get(hit.id)
        except PictureNotFound:  # deleted since it was found
            return None
        return Result(
            id=hit.id,
            path=hit.path,
            name=record.name,
            score=hit.score,
            width=record.width,
            height=record.height,
            metadata=hit.metadata,
        )

    def _find_examples(self) -> list[Example]:
        found: dict[int, Example] = {}
        for query in self._settings.examples:
            results = self._search(SearchRequest(query=query, k=1), None)
            if results and results[0].id not in found:
                found[results[0].id] = Example(query=query, picture=results[0])
            if len(found) == _MOST_EXAMPLES:
                break
        return list(found.values())

    def _read(self, id: int) -> Picture:
        return read_picture(self._index.get(id).file, self._settings.limits)

    def _thumbnail(self, id: int, longest: int, known: str | None) -> Thumbnail:
        return read_thumbnail(self._index.get(id).file, longest, known, self._settings.limits)
