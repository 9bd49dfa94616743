"""Keys as the tree that they are, so that those below a prefix are found without looking at all others.

It knows keys; it knows nothing about entries.
"""

from __future__ import annotations

from collections.abc import Iterator

from .keys import Key

Parts = tuple[str, ...]


class Tree:
    """The keys that were added; for each beginning of them, what comes next."""

    def __init__(self) -> None:
        self._keys: dict[Parts, Key] = {}
        self._next: dict[Parts, set[str]] = {}

    def add(self, key: Key) -> None:
        """A key, which may be there already."""
        parts = key.parts
        self._keys[parts] = key
        for count in range(len(parts) - 1, 0, -1):
            known = self._next.get(parts[:count])
            if known is not None:
                known.add(parts[count])
                return
            self._next[parts[:count]] = {parts[count]}

    def discard(self, key: Key) -> None:
        """A key, which need not be there; the beginnings that nothing follows any more go with it."""
        parts = key.parts
        self._keys.pop(parts, None)
        for count in range(len(parts), 1, -1):
            if parts[:count] in self._keys or parts[:count] in self._next:
                return
            following = self._next.get(parts[: count - 1], set())
            following.discard(parts[count - 1])
            if following:
                return
            self._next.pop(parts[: count - 1], None)

    def below(self, prefix: Key) -> Iterator[Key]:
        """The keys below a prefix, without itself; the tree is not to be changed meanwhile."""
        waiting = [(*prefix.parts, part) for part in self._next.get(prefix.parts, ())]
        while waiting:
            parts = waiting.pop()
            if parts in self._keys:
                yield self._keys[parts]
            waiting += [(*parts, part) for part in self._next.get(parts, ())]
