"""Single flight: of several threads that miss the same keys, one finds the values and the others wait for it.

It knows keys and threads; it knows nothing of what is found, nor where.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from .keys import Key

T = TypeVar("T")


class Flights(Generic[T]):
    """The keys that some thread is finding values for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._flying: dict[Key, Future[T]] = {}

    def join(self, keys: Sequence[Key], find: Callable[[list[Key]], dict[Key, T]]) -> dict[Key, T]:
        """Values of different keys: ``find`` gets those that no other thread is about to have.

        What it raises is raised in every thread that waits for one of those keys.
        """
        with self._lock:
            own = {key: Future[T]() for key in keys if key not in self._flying}
            others = {key: self._flying[key] for key in keys if key not in own}
            self._flying |= own
        # First what others may wait for, then what is waited for: so no two threads ever wait for each other.
        found = self._find(own, find) if own else {}
        return found | {key: future.result() for key, future in others.items()}

    def forget(self, prefix: Key) -> None:
        """Who asks from now on for a key that is covered does not wait for what is under way."""
        with self._lock:
            self._flying = {key: future for key, future in self._flying.items() if not prefix.covers(key)}

    def _find(self, own: dict[Key, Future[T]], find: Callable[[list[Key]], dict[Key, T]]) -> dict[Key, T]:
        try:
            found = find(list(own))
            for key, future in own.items():
                future.set_result(found[key])
            return found
        except BaseException as error:
            for future in own.values():
                if not future.done():
                    future.set_exception(error)
            raise
        finally:
            with self._lock:
                for key, future in own.items():
                    if self._flying.get(key) is future:
                        del self._flying[key]
