"""Stamps: a random number for each beginning of a key, which say together whether something kept is still good.

It knows names and numbers; it knows nothing of where they are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xxhash import xxh3_128_digest

from .keys import Key

LENGTH = 16  # bytes of a stamp, and of the digest of several


class Stamps:
    """Those that there were of some names, by name; None for one that is missing."""

    def __init__(self, found: Mapping[str, bytes | None]) -> None:
        self._found = found
        self._digests: dict[str, bytes | None] = {"": b""}

    def digest(self, name: str) -> bytes | None:
        """Of the stamps of a name and of all its beginnings; None where one of them is missing."""
        if name not in self._digests:
            above, own = self.digest(parent(name)), self._found.get(name)
            there = above is not None and own is not None
            self._digests[name] = xxh3_128_digest(above + own) if there else None  # type: ignore[operator]
        return self._digests[name]

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of the names that have no stamp."""
        return [name for name in names if self._found.get(name) is None]

    def with_more(self, found: Mapping[str, bytes | None]) -> Stamps:
        """These and others."""
        return Stamps({**self._found, **found})


def parent(name: str) -> str:
    """The next shorter beginning of a name; empty for the shortest."""
    return name.rpartition(":")[0]


def beginnings(keys: Sequence[Key]) -> list[str]:
    """The names of all beginnings of keys, themselves included, each once."""
    names: dict[str, None] = {}
    for key in keys:
        name = key.text
        while name and name not in names:  # where one is there, those it begins with are too
            names[name] = None
            name = parent(name)
    return list(names)
