"""Keeps the graph of an index fit while it is searched: measures its recall, and makes it again when that is due.

It works in a thread of its own, off the way of any search; it knows nothing about how a graph is made or asked.
"""

from __future__ import annotations

import random
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from ..errors import OpenAutoGLMError
from ..runtime.engine import available_cores
from . import graph
from .building import build
from .comparing import Comparison
from .frozen import Frozen
from .graph import Width
from .pictures import Pictures
from .sections import Damaged
from .store import Store
from .watch import Recall, keep, kept, recall_of

EXACT_VECTORS = 50_000  # up to so many, comparing all takes no longer than is noticed: about 8 ms with 512 numbers
MOST_NEWER = 20_000  # vectors that are compared beside the graph
MOST_GONE = 0.3  # of what is in the graph
FLOOR = 0.95  # recall@10 of live queries
FLOOR_REMARK = "recall floor"
ENOUGH = 50  # queries that a recall is believed after
SAMPLED = 1 / 64  # of the live queries
WAITING = 16  # queries that are to be compared; further ones are let go
SPENT = 0.02  # of the time, at most, goes into comparing
PATIENCE = 5.0  # seconds before anything is begun: a command that ends soon does not begin
RETRY = 600.0  # seconds after a build that failed


class Stopped(Exception):
    """The index was closed while its graph was made."""


@dataclass(frozen=True)
class Need:
    """That a graph is to be made, how wide, and why in a few words."""

    width: Width
    reason: str


def need(store: Store, frozen: Frozen | None, recall: Recall | None, again: bool = False) -> Need | None:
    """Whether a graph is to be made beside the one in use; ``again``: also where none has to be."""
    if again:
        return Need(frozen.width if frozen else Width(), "it was asked for")
    newer, older = store.vectors_since(frozen.revision if frozen else 0)
    if frozen is None:
        return Need(Width(), "there is none yet") if newer * store.views >= EXACT_VECTORS else None
    if newer * store.views >= MOST_NEWER:
        return Need(frozen.width, f"{newer} pictures are newer")
    if older < (1 - MOST_GONE) * len(frozen):
        return Need(frozen.width, f"{len(frozen) - older} of its pictures are gone")
    poor = recall and recall.graph == frozen.token and recall.queries >= ENOUGH and recall.share < floor(store)
    if recall and poor and frozen.width.wider() != frozen.width:
        return Need(frozen.width.wider(), f"its recall@10 is {recall.share:.3f}")
    return None


def floor(store: Store) -> float:
    """The recall@10 below which a graph is made again, wider."""
    noted = store.noted(FLOOR_REMARK)
    return float(noted) if noted else FLOOR


class Upkeep:
    """The thread; it starts with the first search of an index that has a graph, or is to get one."""

    def __init__(self, store: Store, pictures: Pictures, turn: threading.Lock) -> None:
        self._work = _Work(store, pictures, turn)
        self._end: Callable[[], object] | None = None

    def asked(self, comparison: Callable[[], Comparison]) -> None:
        """Is told of each query that was answered, in the turn of its search; how it compares is asked of a few."""
        if self._work.sample(comparison) and self._end is None:
            # It holds no reference to the index: one that is forgotten without a close ends its thread too.
            thread = threading.Thread(target=self._work.run, name="upkeep", daemon=True)
            self._end = weakref.finalize(self, _end, self._work.stop, thread)
            thread.start()

    def close(self) -> None:
        """Ends what is being done, and leaves the graph as it was."""
        if self._end:
            self._end()


def _end(stop: threading.Event, thread: threading.Thread) -> None:
    stop.set()
    if thread is not threading.current_thread():
        thread.join()


class _Work:
    """What the thread does."""

    def __init__(self, store: Store, pictures: Pictures, turn: threading.Lock) -> None:
        self._store, self._pictures, self._turn = store, pictures, turn
        self._waiting: deque[Comparison] = deque(maxlen=WAITING)
        self._rest_until = self._retry_at = 0.0
        self._checked: Frozen | None = None
        self.stop = threading.Event()

    def sample(self, comparison: Callable[[], Comparison]) -> bool:
        """Sets some of the queries aside; False where the index is so small that there is nothing to do."""
        if self._pictures.frozen is None:
            return self._pictures.newer * self._store.views >= EXACT_VECTORS
        if random.random() < SAMPLED:  # noqa: S311  (no secret)
            self._waiting.append(comparison())
        return True

    def run(self) -> None:
        """Looks now and then whether there is something to do, until stopped."""
        while not self.stop.wait(PATIENCE):
            try:
                self._check()
                self._compare()
                self._build()
            except Stopped:
                return
            except (OpenAutoGLMError, OSError) as error:
                self._pictures.problem = str(error)
                self._retry_at = time.monotonic() + RETRY

    def _check(self) -> None:
        """Reads each new file once to its end."""
        frozen = self._pictures.frozen
        if frozen is None or frozen is self._checked:
            return
        try:
            frozen.check_vectors()
            self._checked = frozen
        except Damaged as error:
            with self._turn:
                self._pictures.refuse(frozen, error)

    def _compare(self) -> None:
        moment = self._pictures.moment
        while moment and self._waiting and time.monotonic() >= self._rest_until and not self.stop.is_set():
            began = time.monotonic()
            keep(self._store, recall_of(moment, [self._waiting.popleft()]))
            now = time.monotonic()
            self._rest_until = now + (now - began) / SPENT

    def _build(self) -> None:
        if self._store.mode != "rw" or not graph.there() or time.monotonic() < self._retry_at:
            return
        self._open_newest()  # another process may have been faster
        wanted = need(self._store, self._pictures.frozen, kept(self._store))
        if wanted and build(self._store.path, wanted.width, max(1, available_cores() // 2), self._step):
            self._open_newest()

    def _open_newest(self) -> None:
        """Opens a new file here, so that no search waits for it."""
        if newest := self._pictures.newest():
            with self._turn:
                self._pictures.adopt(newest)
                self._pictures.refresh(self._store.version())

    def _step(self, done: int, total: int) -> None:
        if self.stop.is_set():
            raise Stopped
