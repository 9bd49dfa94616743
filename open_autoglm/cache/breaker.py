"""A circuit breaker: what failed several times in a row is left alone for a while, then tried once.

It knows successes, failures and time; it knows nothing of what is tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock


class Breaker:
    """Opens after so many ``failures`` in a row; every ``rest`` seconds one attempt is allowed, which may close it."""

    def __init__(self, failures: int = 3, rest: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self.rest, self._clock = failures, rest, clock
        self._failed = 0
        self._next = 0.0
        self._lock = Lock()

    def allows(self) -> bool:
        """Whether to try now; while open, True for one caller each time its rest is over."""
        with self._lock:
            if self._failed < self._most:
                return True
            if self._clock() < self._next:
                return False
            self._next = self._clock() + self.rest
            return True

    def succeeded(self) -> bool:
        """Notes a success; True where that has closed it."""
        with self._lock:
            closed, self._failed = self._failed >= self._most, 0
            return closed

    def failed(self) -> bool:
        """Notes a failure; True where that has opened it."""
        with self._lock:
            self._failed += 1
            self._next = self._clock() + self.rest
            return self._failed == self._most
