"""The tier in this process: what was used last, as far as a number of bytes and of entries reach.

It knows entries; it knows nothing about disks or networks.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from threading import Lock

from .codec import Entry
from .keys import Key
from .tier import Reading
from .tree import Tree

OVERHEAD = 1_000  # bytes of an entry's objects beside what is packed, with its key's place in the tree
LARGEST = 4  # of which one part of the bytes an entry may take: it must not drive out all others
REMEMBERED = 1_000  # invalidations that a lease may lie behind


class MemoryTier:
    """At most so many ``bytes`` and ``entries``, each for ``longest`` seconds at most until a lower tier is asked.

    That bounds how long this process may give what another one has invalidated in a tier that they share.
    """

    name = "memory"

    def __init__(
        self, bytes: int, entries: int, longest: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bytes, self._most, self._longest, self._clock = bytes, entries, longest or float("inf"), clock
        self._lock = Lock()
        self._entries: OrderedDict[Key, tuple[Entry, float]] = OrderedDict()
        self._tree = Tree()
        self._used = 0
        self._count = 0
        self._invalidated: deque[Key] = deque(maxlen=REMEMBERED)

    def get(self, keys: Sequence[Key]) -> Reading:
        found, now = dict[Key, Entry](), self._clock()
        with self._lock:
            for key in keys:
                entry, until = self._entries.get(key, (None, 0.0))
                if entry is not None and now < until:
                    self._entries.move_to_end(key)
                    found[key] = entry
            return Reading(found, self._count)

    def put(self, entries: Mapping[Key, Entry], lease: int) -> None:
        until = self._clock() + self._longest
        with self._lock:
            since = self._count - lease
            if since > len(self._invalidated):
                return
            gone = list(islice(reversed(self._invalidated), since))
            for key, entry in entries.items():
                if entry.size + OVERHEAD <= self._bytes // LARGEST and not any(prefix.covers(key) for prefix in gone):
                    self._drop(key)
                    self._entries[key] = entry, until
                    self._used += entry.size + OVERHEAD
                    self._tree.add(key)
            while self._used > self._bytes or len(self._entries) > self._most:
                self._drop(next(iter(self._entries)))

    def below(self, prefix: Key, most: int) -> dict[Key, Entry]:
        with self._lock:
            keys = list(islice(self._tree.below(prefix), most))
        return self.get(keys).entries

    def invalidate(self, prefix: Key) -> int:
        with self._lock:
            keys = [key for key in (prefix, *self._tree.below(prefix)) if key in self._entries]
            for key in keys:
                self._drop(key)
            self._invalidated.append(prefix)
            self._count += 1
            return len(keys)

    def close(self) -> None:
        with self._lock:
            self._entries.clear()
            self._tree = Tree()
            self._used = 0

    def _drop(self, key: Key) -> None:
        entry, _ = self._entries.pop(key, (None, 0.0))
        if entry is not None:
            self._used -= entry.size + OVERHEAD
            self._tree.discard(key)
