"""The prefix cache: tiers asked in turn, what a lower one has handed upward, what none has computed once.

It knows tiers, keys and time; it knows nothing of what the values are.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from types import TracebackType
from typing import Any

from ..errors import SettingError
from .breaker import Breaker
from .codec import Entry, pack, renewed
from .flights import Flights
from .guarded import GuardedTier
from .keys import Key
from .tier import Tier

MOST = 10_000
Compute = Callable[[list[Key]], Sequence[Any]]


@dataclass(frozen=True)
class Lifetimes:
    """Seconds: how long a value is good, and how long it is remembered that there is ``none``.

    Each is shortened by up to the share ``jitter``, so that what came together does not go together. ``sliding``: a
    value that is used in the second half of its life begins a new one; otherwise use does not lengthen life.
    """

    value: float = 7 * 24 * 3600.0
    none: float = 60.0
    jitter: float = 0.1
    sliding: bool = False

    def __post_init__(self) -> None:
        for name in ("value", "none"):
            if not 0 < getattr(self, name) < float("inf"):
                raise SettingError(
                    f"The lifetime of a cached {name} is {getattr(self, name)}: it must be above 0 seconds."
                )
        if not 0 <= self.jitter < 1:
            raise SettingError(f"jitter is {self.jitter}: it is a share, from 0 up to below 1.")


@dataclass(frozen=True)
class TierStatistics:
    """How often a tier had what it was asked for, had it not, and failed."""

    hits: int = 0
    misses: int = 0
    errors: int = 0


class PrefixCache:
    """``tiers``, the quickest first. Safe to use from several threads; whatever fails in a tier, the values are right.

    A value given is not to be changed: its arrays cannot be written to. None as a value says that there is none.
    """

    def __init__(
        self,
        tiers: Sequence[Tier],
        lifetimes: Lifetimes | None = None,
        breaker: Callable[[], Breaker] = Breaker,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not tiers:
            raise SettingError("A cache needs at least one tier.")
        self._tiers = tuple(GuardedTier(tier, reads=breaker(), writes=breaker()) for tier in tiers)
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._flights = Flights[Entry]()
        self._counting = Lock()
        self._counts = {tier.name: TierStatistics() for tier in tiers}

    def get(self, keys: Sequence[Key]) -> dict[Key, Any]:
        """What there is of keys, by key; those that are not there are left out."""
        return {key: entry.value for key, entry in self._read(unique(keys))[0].items()}

    def get_or_compute(self, keys: Sequence[Key], compute: Compute) -> list[Any]:
        """The values of keys, in their order; ``compute`` gives those of the keys that no tier has, in theirs.

        What several threads miss at once is computed by one of them, and what ``compute`` raises is raised in all. It
        may ask the cache for other keys, but not for those that it was called for.
        """
        wanted = unique(keys)
        quickest = self._tiers[0]
        found = self._fresh(quickest.get(wanted).entries)
        self._count(quickest, len(found), len(wanted) - len(found))
        self._slide(found)
        if missing := [key for key in wanted if key not in found]:
            found |= self._flights.join(missing, lambda own: self._settle(own, compute))
        return [found[key].value for key in keys]

    def put(self, values: Mapping[Key, Any]) -> None:
        """Keeps values in all tiers."""
        keys = list(values)
        leases = [(tier, tier.get(keys).lease) for tier in self._tiers]
        self._store({key: self._packed(key, value) for key, value in values.items()}, leases)

    def below(self, prefix: Key, most: int = MOST) -> dict[Key, Any]:
        """The values below a prefix, at most so many, that the tiers know of; some may be missing, none is stale."""
        found = dict[Key, Entry]()
        for tier in reversed(self._tiers):
            found |= self._fresh(tier.below(prefix, most))
        return {key: found[key].value for key in sorted(found, key=lambda key: key.text)[:most]}

    def invalidate(self, prefix: Key) -> int:
        """Forgets a key and all below it, in every tier, and what is being computed of it; at most how many there were.

        A tier that cannot be reached forgets them before it is believed again.
        """
        # The lowest first, and at last what is on its way: what is read from a tier meanwhile is forgotten further up.
        count = max(tier.invalidate(prefix) for tier in reversed(self._tiers))
        self._flights.forget(prefix)
        return count

    def complaints(self) -> list[str]:
        """Why tiers cannot be used at the moment, a sentence each; values are right all the same."""
        return [complaint for tier in self._tiers if (complaint := tier.complaint())]

    def statistics(self) -> dict[str, TierStatistics]:
        """By the tiers' names, in their order."""
        with self._counting:
            return {tier.name: replace(self._counts[tier.name], errors=tier.errors) for tier in self._tiers}

    def close(self) -> None:
        """Ends its use; what tiers keep beyond that is there the next time."""
        for tier in self._tiers:
            tier.close()

    def __enter__(self) -> PrefixCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _settle(self, keys: list[Key], compute: Compute) -> dict[Key, Entry]:
        # Read once more from the top: another thread may have found them since this one looked.
        found, leases = self._read(keys, again=True)
        missing = [key for key in keys if key not in found]
        if missing:
            values = compute(missing)
            entries = {key: self._packed(key, value) for key, value in zip(missing, values, strict=True)}
            self._store(entries, leases)
            found |= entries
        return found

    def _read(self, keys: list[Key], again: bool = False) -> tuple[dict[Key, Entry], list[tuple[GuardedTier, Any]]]:
        """What the tiers have, handed upward, and the leases of those that were asked."""
        found, leases, missing = dict[Key, Entry](), list[tuple[GuardedTier, Any]](), keys
        for tier in self._tiers:
            if not missing:
                break
            reading = tier.get(missing)
            fresh = self._fresh(reading.entries)
            self._count(tier, len(fresh), 0 if again and tier is self._tiers[0] else len(missing) - len(fresh))
            self._store(fresh, leases)
            leases.append((tier, reading.lease))
            found |= fresh
            missing = [key for key in missing if key not in fresh]
        self._slide(found)
        return found, leases

    def _store(self, entries: Mapping[Key, Entry], leases: Sequence[tuple[GuardedTier, Any]]) -> None:
        if entries:
            for tier, lease in leases:
                tier.put(entries, lease)

    def _slide(self, found: Mapping[Key, Entry]) -> None:
        """Gives entries in the second half of their life a new one, in each tier that has them."""
        half = self._clock() + self._lifetimes.value / 2
        due = [key for key, entry in found.items() if entry.expires < half and entry.value is not None]
        if not (self._lifetimes.sliding and due):
            return
        for tier in self._tiers:
            reading = tier.get(due)
            tier.put(
                {key: renewed(key, one, self._end(one.value)) for key, one in reading.entries.items()}, reading.lease
            )

    def _packed(self, key: Key, value: Any) -> Entry:
        return pack(key, value, self._end(value))

    def _end(self, value: Any) -> float:
        """When something that is kept now is to expire."""
        lifetime = self._lifetimes.none if value is None else self._lifetimes.value
        return self._clock() + lifetime * (1 - self._lifetimes.jitter * random.random())  # noqa: S311

    def _fresh(self, entries: Mapping[Key, Entry]) -> dict[Key, Entry]:
        now = self._clock()
        return {key: entry for key, entry in entries.items() if now < entry.expires}

    def _count(self, tier: GuardedTier, hits: int, misses: int) -> None:
        with self._counting:
            so_far = self._counts[tier.name]
            self._counts[tier.name] = TierStatistics(so_far.hits + hits, so_far.misses + misses)


def unique(keys: Sequence[Key]) -> list[Key]:
    """The keys, each once."""
    return list(dict.fromkeys(keys))
