"""Makes the map and graph of an index anew from its store, beside the old one, and puts it in that one's place.

It knows the order of the steps; it knows nothing about when that is worth its time.
"""

from __future__ import annotations

import fcntl
import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from ..errors import IndexStoreError
from .frozen import FILE, FORMAT, VIEWS, WHOLES
from .graph import Width
from .net import write_net
from .records import shown_path
from .sections import SectionWriter, put_in_place
from .store import Store

FRESH = "vectors.map.new"
LOCK = "vectors.lock"
TOKENS = "graphs"  # the remark that says which files belong to the store


def build(path: Path, width: Width, threads: int, step: Callable[[int, int], None]) -> bool:
    """Makes the file for the index at ``path``; False where another process is at it, or there is no picture.

    ``step`` is called with the vectors done and their number; what it raises ends the work and leaves all as it was.
    Raises IndexStoreError where the index cannot be read or the file not be written.
    """
    store = Store(path)  # of its own, so that no search waits for the reading
    try:
        with _alone(path) as alone:
            return alone and _build(store, width, threads, step)
    except OSError as error:
        raise IndexStoreError(
            f"The graph of the index {shown_path(path)} cannot be written ({error.strerror}): searches go on as "
            "before; make room, or permit writing, and do it again."
        ) from error
    finally:
        store.close()


def tokens(store: Store) -> list[str]:
    """Which files beside the store were made from it: a file copied there from elsewhere is not among them."""
    noted = store.noted(TOKENS)
    return list(json.loads(noted)) if noted else []


def _build(store: Store, width: Width, threads: int, step: Callable[[int, int], None]) -> bool:
    fresh, token = store.path / FRESH, secrets.token_hex(16)
    writer = SectionWriter(fresh)
    try:
        revision, count = _copy(store, writer)
        if not count:
            return False
        vectors = writer.mapped("vectors").view(np.float16).reshape(count, store.views, store.dimension)
        total = count if store.views == 1 else count * (1 + store.views)
        write_net(writer, WHOLES, vectors[:, :1], width, threads, lambda done: step(done, total))
        if store.views > 1:
            write_net(writer, VIEWS, vectors, width, threads, lambda done: step(count + done, total))
        facts = {"format": FORMAT, "token": token, "revision": revision, "width": width.facts()}
        writer.finish(facts | {"space": store.space, "views": store.views, "dimension": store.dimension})
        # Noted before it is there: whichever of the two a reader finds, it knows it.
        store.note(TOKENS, json.dumps([token, *tokens(store)[:1]]))
        put_in_place(fresh, store.path / FILE)
    finally:
        writer.close()
        with suppress(FileNotFoundError):
            fresh.unlink()
    return True


def _copy(store: Store, writer: SectionWriter) -> tuple[int, int]:
    """Writes ids and vectors as of one moment; its revision, and how many pictures there were."""
    ids: list[np.ndarray] = []
    with store.snapshot() as all_of_it:
        with writer.section("vectors") as write:
            for part, vectors in all_of_it.parts:
                ids.append(part)
                write(vectors.astype(np.float16).data)
        revision = all_of_it.revision
    count = sum(map(len, ids))
    if count:
        with writer.section("ids") as write:
            write(np.concatenate(ids).data)
    return revision, count


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether no other process builds here; the lock ends with the process that holds it, however it ends."""
    with (path / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
