"""A tier that may fail, so that nothing but time is lost when it does: a failure is a miss, and a rest follows several.

It knows tiers and breakers; it knows nothing of what can go wrong inside of a tier.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import Any, TypeVar

from .breaker import Breaker
from .codec import Entry
from .keys import Key
from .tier import Reading, Tier

T = TypeVar("T")
MOST_OWED = 1_000
log = logging.getLogger(__name__)


class GuardedTier:
    """``tier`` as one that never raises. Reading and writing fail apart: a store that is full still answers.

    An invalidation that failed is owed: it is done before the tier is believed anything again.
    """

    def __init__(self, tier: Tier, reads: Breaker, writes: Breaker) -> None:
        self.name = tier.name
        self.errors = 0
        self._tier, self._reads, self._writes = tier, reads, writes
        self._lock = Lock()
        self._owed: dict[Key, object] = {}  # to what tells it from the same one, owed again

    def get(self, keys: Sequence[Key]) -> Reading:
        return self._tried(self._reads, "read", lambda: self._paid(lambda: self._tier.get(keys)), Reading({}, None))

    def put(self, entries: Mapping[Key, Entry], lease: Any) -> None:
        if lease is not None:
            self._tried(self._writes, "written", lambda: self._paid(lambda: self._tier.put(entries, lease)), None)

    def below(self, prefix: Key, most: int) -> dict[Key, Entry]:
        return self._tried(self._reads, "read", lambda: self._paid(lambda: self._tier.below(prefix, most)), {})

    def invalidate(self, prefix: Key) -> int:
        with self._lock:
            self._owed[prefix] = object()
            if len(self._owed) > MOST_OWED:
                # More is forgotten than was asked for, and little has to be remembered.
                self._owed = {Key(owed.parts[:2]): object() for owed in self._owed}
        return self._tried(self._reads, "read", self._pay, 0)

    def complaint(self) -> str | None:
        """Why the tier cannot be used at the moment, None where it can."""
        try:
            self._tier.get([Key.of("complaint")])
        except Exception as error:  # as below
            return self._sentence("read", error)
        return None

    def close(self) -> None:
        self._tier.close()

    def _paid(self, work: Callable[[], T]) -> T:
        if self._owed:
            self._pay()
        return work()

    def _pay(self) -> int:
        """Does the invalidations that are owed; how many entries that made away with."""
        with self._lock:
            owed = dict(self._owed)
        count = sum(self._tier.invalidate(prefix) for prefix in owed)
        with self._lock:
            self._owed = {prefix: which for prefix, which in self._owed.items() if owed.get(prefix) is not which}
        return count

    def _tried(self, breaker: Breaker, what: str, work: Callable[[], T], otherwise: T) -> T:
        if not breaker.allows():
            return otherwise
        try:
            result = work()
        except Exception as error:  # whatever a store, or a stranger in its place, may answer
            self._failed(breaker, what, error)
            return otherwise
        if breaker.succeeded():
            log.warning("The %s cache can be %s again.", self.name, what)
        return result

    def _failed(self, breaker: Breaker, what: str, error: Exception) -> None:
        with self._lock:
            self.errors += 1
        if breaker.failed():
            log.warning("%s", self._sentence(what, error))

    def _sentence(self, what: str, error: Exception) -> str:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        return (
            f"The {self.name} cache cannot be {what} ({reason}): answers stay right and take longer; "
            f"it is tried again every {self._reads.rest:g} s."
        )
