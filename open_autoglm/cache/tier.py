"""What a tier of the cache is: a place that keeps entries, finds those below a prefix, and forgets.

It knows the shapes alone; it knows nothing of how a tier keeps anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from .codec import Entry
from .keys import Key


class Reading(NamedTuple):
    """What a tier had of the keys asked for; ``lease``: when it was asked, for what is to be put there in return.

    None is no lease: nothing is put.
    """

    entries: dict[Key, Entry]
    lease: Any


class Tier(Protocol):
    """Safe to use from several threads. It may lose entries, and give ones that have expired.

    Any method may raise whatever its storage raises.
    """

    name: str

    def get(self, keys: Sequence[Key]) -> Reading:
        """What there is of different keys, in one go."""

    def put(self, entries: Mapping[Key, Entry], lease: Any) -> None:
        """Keeps entries, but for those whose key was invalidated since the lease."""

    def below(self, prefix: Key, most: int) -> dict[Key, Entry]:
        """At most so many of the entries below a prefix, in no order that matters."""

    def invalidate(self, prefix: Key) -> int:
        """Forgets a key and all below it; how many entries there were, as far as the tier can tell."""

    def close(self) -> None:
        """Ends its use."""
