"""What the API does, off the event loop and with bounded concurrency: search, describe, read pictures.

It knows the index and picture intake; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ..errors import PictureNotFound
from ..search import Hit, Index
from .pictures import Picture, Thumbnail, read_picture, read_thumbnail
from .schemas import Example, Info, Result, SearchReply, SearchRequest
from .settings import Settings

T = TypeVar("T")
_MOST_EXAMPLES = 6


class Service:
    """An index, open for many readers at once."""

    def __init__(self, index: Index, settings: Settings) -> None:
        self._index = index
        self._settings = settings
        self._searches = CapacityLimiter(settings.searches)
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
        return await to_thread.run_sync(work, limiter=self._searches)

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
            request.query, image=image, like=request.like, k=request.k, where=request.where, cut=request.cut
        )
        return [result for hit in hits if (result := self._result(hit))]

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
