"""What the API does with indexes, off the event loop and with bounded concurrency: search, read and write pictures.

It knows tenants' indexes and picture intake; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio
from anyio import CapacityLimiter, to_thread

from ..errors import ImageError, OpenAutoGLMError, PictureNotFound
from ..runtime.model import Model
from ..search import Hit, Index
from .indexes import DEFAULT_INDEX, Shelf
from .indexes.writing import NewPicture, add, remove
from .pictures import Picture, PictureGone, Thumbnail, read_picture, read_thumbnail
from .schemas import Example, IndexInfo, Result, SearchReply, SearchRequest
from .settings import Settings
from .turns import Turns

T = TypeVar("T")
_MOST_EXAMPLES = 6


class Service:
    """Indexes of tenants, open for many readers at once; ``owner`` is always the tenant whose index is meant.

    Every method raises IndexUnknown for an index that the tenant does not have, and what an index raises where it is
    damaged or busy.
    """

    def __init__(self, shelf: Shelf, settings: Settings) -> None:
        self._shelf = shelf
        self._settings = settings
        self._turns = Turns(settings.searches, settings.patience)
        self._writing = Turns(settings.searches, settings.patience)
        self._decodes = CapacityLimiter(settings.decodes)
        self._suggesting = anyio.Lock()
        self._examples: dict[str, list[Example]] = {}

    async def search(self, owner: str, request: SearchRequest, image: bytes | None) -> SearchReply:
        """The pictures found, best first. Raises what Index.search does: PictureNotFound for an unknown ``like``."""
        return await self._turns.run(partial(self._search, owner, request, image))

    async def info(self, owner: str, name: str) -> IndexInfo:
        """What an index is."""
        return await self._turns.run(partial(self._info, owner, name))

    async def names(self, owner: str) -> list[str]:
        """What the tenant's indexes are called."""
        return await to_thread.run_sync(self._shelf.names, owner)

    async def examples(self, owner: str) -> list[Example]:
        """Searches that find something, each another picture first; worked out once, when first asked for."""
        async with self._suggesting:
            if owner not in self._examples:
                self._examples = {owner: await self._turns.run(partial(self._find_examples, owner))}
            return self._examples[owner]

    async def picture(self, owner: str, name: str, id: int) -> Picture:
        """A picture's original bytes. Raises PictureNotFound for an unknown id and PictureGone."""
        return await to_thread.run_sync(self._picture, owner, name, id, limiter=self._decodes)

    async def thumbnail(self, owner: str, name: str, id: int, longest: int, known: str | None) -> Thumbnail:
        """A JPEG of at most ``longest`` pixels, none where ``known`` has its tag. Raises as ``picture``."""
        work = partial(self._thumbnail, owner, name, id, longest, known)
        return await to_thread.run_sync(work, limiter=self._decodes)

    async def create(self, owner: str, name: str, model: Model) -> bool:
        """Makes an index; whether it was not there yet. Raises IndexReadOnly, SpaceMismatch."""
        return await self._writing.run(partial(self._shelf.create, owner, name, model))

    async def drop(self, owner: str, name: str) -> None:
        """Removes an index with the pictures that were sent for it. Raises IndexReadOnly."""
        await self._writing.run(partial(self._shelf.drop, owner, name))

    async def add(self, owner: str, name: str, pictures: Sequence[NewPicture]) -> list[int | OpenAutoGLMError]:
        """The id of each picture, or why it was not added. Raises IndexReadOnly."""
        return await self._writing.run(partial(self._add, owner, name, pictures))

    async def remove(self, owner: str, name: str, id: int) -> None:
        """Takes a picture out. Raises PictureNotFound, IndexReadOnly."""
        await self._writing.run(partial(self._remove, owner, name, id))

    def _with(self, owner: str, name: str, work: Callable[[Index], T]) -> T:
        with self._shelf.open(owner, name) as index:
            return work(index)

    def _info(self, owner: str, name: str) -> IndexInfo:
        with self._shelf.open(owner, name) as index:
            facts = index.info()
            return IndexInfo(name=name, model=facts["model"], space=facts["space"], pictures=len(index))

    def _search(self, owner: str, request: SearchRequest, image: bytes | None) -> SearchReply:
        with self._shelf.open(owner, request.index) as index:
            results = _found(index, request, image)
            if not self._shelf.is_given(owner, request.index):
                # Where a sent picture lies on the server is nobody's business.
                results = [result.model_copy(update={"path": result.name}) for result in results]
            return SearchReply(model=index.model.name, space=index.model.space, results=results)

    def _find_examples(self, owner: str) -> list[Example]:
        found: dict[int, Example] = {}
        with self._shelf.open(owner, DEFAULT_INDEX) as index:
            for query in self._settings.examples:
                results = _found(index, SearchRequest(query=query, k=1), None)
                if results and results[0].id not in found:
                    found[results[0].id] = Example(query=query, picture=results[0])
                if len(found) == _MOST_EXAMPLES:
                    break
        return list(found.values())

    def _picture(self, owner: str, name: str, id: int) -> Picture:
        file = self._with(owner, name, lambda index: index.get(id)).file
        try:
            return read_picture(file, self._settings.limits)
        except ImageError as error:
            raise PictureGone("The picture's file can no longer be read as a picture.") from error

    def _thumbnail(self, owner: str, name: str, id: int, longest: int, known: str | None) -> Thumbnail:
        file = self._with(owner, name, lambda index: index.get(id)).file
        return read_thumbnail(file, longest, known, self._settings.limits)

    def _add(self, owner: str, name: str, pictures: Sequence[NewPicture]) -> list[int | OpenAutoGLMError]:
        folder = self._shelf.writable(owner, name).pictures
        return self._with(owner, name, lambda index: add(index, folder, pictures))

    def _remove(self, owner: str, name: str, id: int) -> None:
        folder = self._shelf.writable(owner, name).pictures
        self._with(owner, name, lambda index: remove(index, folder, id))


def _found(index: Index, request: SearchRequest, image: bytes | None) -> list[Result]:
    hits = index.search(
        request.query,
        image=image,
        like=request.like,
        k=request.k,
        where=request.where,
        cut=request.cut,
        written=request.written,
    )
    return [result for hit in hits if (result := _result(index, hit))]


def _result(index: Index, hit: Hit) -> Result | None:
    try:
        record = index.get(hit.id)
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
