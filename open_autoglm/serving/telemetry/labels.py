"""What a metric's labels may say: names that were made known, and for everything else ``other``.

Each value is a time series for ever, so none may be of a client's making. It knows nothing of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from threading import Lock
from typing import Any

OTHER = "other"
NONE = "none"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MOST_NAMES = 100


class Names:
    """Names that ``known`` gives, now or earlier, at most so many."""

    def __init__(self, known: Callable[[], Iterable[str]] = tuple, most: int = MOST_NAMES) -> None:
        self._known, self._most = known, most
        self._seen: frozenset[str] = frozenset()
        self._lock = Lock()

    def label(self, name: str) -> str:
        """The name where it is known, ``none`` for an empty one, else ``other``."""
        if name in self._seen:
            return name
        if not name:
            return NONE
        return self._learn(name) if name in set(self._known()) else OTHER

    def _learn(self, name: str) -> str:
        with self._lock:
            if len(self._seen) >= self._most and name not in self._seen:
                return OTHER
            self._seen |= {name}
            return name


class FirstNames(Names):
    """The first ``most`` names that come, whatever they are."""

    def __init__(self, most: int) -> None:
        super().__init__(most=most)

    def label(self, name: str) -> str:
        """The name where it was among the first, ``none`` for an empty one, else ``other``."""
        if name in self._seen:
            return name
        return self._learn(name) if name else NONE


def method(name: str) -> str:
    """A request's method."""
    return name if name in METHODS else OTHER


def route(scope: MutableMapping[str, Any], root_path: str) -> str:
    """The template of the route that took a request, never the path that was sent; ``root_path`` as it was before."""
    template = getattr(scope.get("route"), "path", None)
    if isinstance(template, str):
        return template
    mounted = str(scope.get("root_path", ""))
    return mounted[len(root_path) :] if mounted != root_path else OTHER
