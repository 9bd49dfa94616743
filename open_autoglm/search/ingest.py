"""Brings an index up to date with files: reads what is new, embeds it, stores it, has removed what is gone.

It knows the order of the steps and that a model turns pixels into vectors; it knows nothing about SQL.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, ImageError
from ..runtime.engine import available_cores
from ..runtime.images import prepare, size, taken
from .facts import Facts
from .gone import remove_gone
from .records import AddReport, Json, Progress, Skipped, shown_path
from .rows import Content, FileState, Refused
from .scan import Found, Scan, is_gone
from .store import Store

if TYPE_CHECKING:
    from ..runtime.model import Model

T = TypeVar("T")
R = TypeVar("R")

BATCH = 16  # pictures stored at once
MOST_READERS = 8
AHEAD = 2 * BATCH  # pictures read before they are asked for: bounds the memory
CHUNK = 256


class Outcome(Enum):
    """What became of a file."""

    ADDED = "added"
    UPDATED = "updated"
    MOVED = "moved"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Pixels:
    """A picture that no path of the index has yet: ready for the model, its size as shown, when it was taken."""

    prepared: NDArray[np.uint8]
    width: int
    height: int
    taken: str | None


@dataclass(frozen=True)
class Read:
    """A file that was read: its bytes' sha256, and its pixels or what the index knows of the same bytes."""

    found: Found
    state: FileState
    sha256: bytes
    picture: Pixels | Content


@dataclass(frozen=True)
class Failed:
    """A file that could not be used; ``lasting`` until it changes."""

    found: Found
    state: FileState
    reason: str
    lasting: bool


class Ingest:
    """One addition to an index, from a finished scan to the report."""

    def __init__(self, store: Store, model: Model, facts: Facts, progress: Callable[[Progress], None] | None) -> None:
        self._store = store
        self._model = model
        self._facts = facts
        self._progress = progress
        self._limits = f"{model.limits.max_bytes} bytes, {model.limits.max_pixels} pixels"
        self._counts: Counter[Outcome] = Counter()
        self._skipped: list[Skipped] = []
        self._total = 0
        self._metadata: dict[bytes, Mapping[str, Json] | None] = {}

    def run(self, scan: Scan) -> AddReport:
        """Does all of it; what is stored stays stored whatever happens later."""
        self._skipped += scan.skipped
        self._total = len(scan.files)
        self._metadata = {found.key: self._facts.of(found.path, found.root) for found in scan.files}
        waiting = [found for chunk in chunks(scan.files, CHUNK) for found in self._sift(chunk)]
        with ThreadPoolExecutor(readers(), "read") as pool:
            for batch in chunks(in_order(pool, self._read, waiting, AHEAD), BATCH):
                self._settle(batch)
        removed = remove_gone(self._store, scan)
        self._skipped += [
            Skipped(shown_path(path), "The metadata names it, but it is not among the pictures.")
            for path in self._facts.unused()
        ]
        counts = {outcome.value: self._counts[outcome] for outcome in Outcome if outcome is not Outcome.SKIPPED}
        return AddReport(**counts, removed=removed, skipped=tuple(self._skipped))

    def _sift(self, chunk: list[Found]) -> list[Found]:
        """Counts what need not be read again; the rest."""
        new: list[Found] = []
        kept: list[tuple[Found, int]] = []
        states = self._store.states(found.key for found in chunk)
        for found, (known, refused) in zip(chunk, states, strict=True):
            state = FileState(found.key, found.size, found.mtime_ns)
            if refused and refused.state == state and refused.limits == self._limits:
                self._count(found, Outcome.SKIPPED, refused.reason)
            elif known and known.state == state:
                kept.append((found, known.id))
            else:
                new.append(found)
        self._refresh_metadata(kept)
        return new

    def _refresh_metadata(self, kept: list[tuple[Found, int]]) -> None:
        given = [(id, metadata) for found, id in kept if (metadata := self._metadata[found.key]) is not None]
        changed: set[int] = set()
        if given:
            with self._store.transaction():
                changed = {id for id, metadata in given if self._store.set_metadata(id, metadata)}
        for found, id in kept:
            self._count(found, Outcome.UPDATED if id in changed else Outcome.UNCHANGED)

    def _read(self, found: Found) -> Read | Failed:
        """Reads and decodes a file, on a thread of its own."""
        state = FileState(found.key, found.size, found.mtime_ns)
        limit = self._model.limits.max_bytes
        try:
            with Path(found.path).open("rb") as file:
                # As it is now, not as it was when listed; a change during reading shows the next time.
                status = os.fstat(file.fileno())
                state = FileState(found.key, status.st_size, status.st_mtime_ns)
                data = file.read(limit + 1)
        except OSError as error:
            return Failed(found, state, f"The file cannot be read: {error.strerror}.", lasting=False)
        if len(data) > limit:
            return Failed(found, state, f"The file has more than {limit} bytes, the limit.", lasting=True)
        digest = hashlib.sha256(data).digest()
        stored = self._store.content(digest)
        if stored:
            return Read(found, state, digest, stored)
        try:
            pixels = Pixels(prepare(data, self._model.preprocessing, self._model.limits), *size(data), taken(data))
        except ImageError as error:
            return Failed(found, state, str(error), lasting=True)
        return Read(found, state, digest, pixels)

    def _settle(self, batch: list[Read | Failed]) -> None:
        """Embeds a batch and stores it in one transaction."""
        contents = self._contents([read for read in batch if isinstance(read, Read)])
        outcomes: list[Outcome] = []
        with self._store.transaction():
            for item in batch:
                if isinstance(item, Failed):
                    if item.lasting:
                        self._store.refuse(Refused(item.state, self._limits, item.reason))
                    outcomes.append(Outcome.SKIPPED)
                else:
                    outcomes.append(self._store_one(item, contents[item.sha256]))
        for item, outcome in zip(batch, outcomes, strict=True):
            self._count(item.found, outcome, item.reason if isinstance(item, Failed) else "")

    def _contents(self, reads: list[Read]) -> dict[bytes, Content]:
        """What to store for each sha256: embedded now, or copied from a picture with the same bytes."""
        contents: dict[bytes, Content] = {}
        fresh: dict[bytes, Pixels] = {}
        for read in reads:
            # An earlier batch may have stored the same bytes since this file was read.
            stored = read.picture if isinstance(read.picture, Content) else self._store.content(read.sha256)
            if stored:
                contents[read.sha256] = stored
            elif isinstance(read.picture, Pixels):
                fresh[read.sha256] = read.picture
        if fresh:
            prepared = [pixels.prepared for pixels in fresh.values()]
            vectors = embed_halves(self._model, prepared, self._store.views, self._store.dimension)
            for (digest, pixels), vector in zip(fresh.items(), vectors, strict=True):
                contents[digest] = Content(digest, pixels.width, pixels.height, vector.tobytes(), pixels.taken)
        return contents

    def _store_one(self, read: Read, content: Content) -> Outcome:
        # Decided inside the transaction: another process may have stored the same file meanwhile.
        known = self._store.known(read.found.key)
        if known is None:
            id, outcome = self._store_unknown(read.state, content)
        elif known.sha256 == content.sha256:
            self._store.relocate(known.id, read.state, content)
            id, outcome = known.id, Outcome.UNCHANGED
        else:
            self._store.replace(known.id, read.state, content)
            id, outcome = known.id, Outcome.UPDATED
        self._store.accept(read.found.key)
        metadata = self._metadata[read.found.key]
        changed = metadata is not None and self._store.set_metadata(id, metadata)
        return Outcome.UPDATED if changed and outcome is Outcome.UNCHANGED else outcome

    def _store_unknown(self, state: FileState, content: Content) -> tuple[int, Outcome]:
        for id, key in self._store.holders(content.sha256):
            if is_gone(key):
                self._store.relocate(id, state, content)
                return id, Outcome.MOVED
        return self._store.insert(state, content), Outcome.ADDED

    def _count(self, found: Found, outcome: Outcome, reason: str = "") -> None:
        self._counts[outcome] += 1
        if outcome is Outcome.SKIPPED:
            self._skipped.append(Skipped(shown_path(found.path), reason))
        if self._progress:
            self._progress(Progress(self._counts.total(), self._total, shown_path(found.path)))


def embed_halves(
    model: Model, prepared: Sequence[NDArray[np.uint8]], views: int, dimension: int
) -> NDArray[np.float16]:
    """The vectors [n, views, dimension] of pictures, fit to be stored. BundleError for a model that gives others."""
    size = model.batch_size
    batches = (np.stack(prepared[start : start + size]) for start in range(0, len(prepared), size))
    vectors = np.concatenate([model.embed_prepared(pixels) for pixels in batches])
    expected = (len(prepared), views, dimension)
    if vectors.shape != expected or not np.isfinite(vectors).all():
        raise BundleError(
            f"{model.name} gives vectors of the shape {list(vectors.shape)}, where finite ones of {list(expected)} "
            "are stored: its bundle is damaged, copy it again."
        )
    return vectors.astype(np.float16)


def readers() -> int:
    """Threads that read and decode: they share the cores with the model, and two keep it fed where there is one."""
    return max(2, min(MOST_READERS, available_cores()))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of ``size``, the last one shorter."""
    items = iter(items)
    while chunk := list(islice(items, size)):
        yield chunk


def in_order(pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int) -> Iterator[R]:
    """The results of ``work`` in the order of the items, at most ``ahead`` of them before they are taken."""
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
