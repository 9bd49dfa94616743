"""The tier that several machines share: a Redis server, which may be gone, slow, full, or evict whatever it likes.

It knows entries and Redis commands; it knows nothing of what to do when they fail.

Every key has *stamps*: a random number for each of its beginnings, itself included. An entry carries a digest of the
stamps that there were when it was asked for, and is good as long as they are the same: to invalidate a prefix is to
delete its stamp, whatever else lies below. A stamp that Redis evicts takes what is below with it, and never brings
anything back. Beside them a sorted set of all names, which finds those below a prefix without KEYS; what it lacks is
not found, but never wrong.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..errors import SettingError
from .codec import VERSION, Entry, unpack
from .keys import Key
from .stamps import LENGTH, Stamps, beginnings
from .tier import Reading

ROOT = f"autoglm:{VERSION}"
ENTRY, STAMP, NAMES = f"{ROOT}:entry:", f"{ROOT}:stamp:", f"{ROOT}:names:"
KEPT = 30 * 24 * 3600  # seconds that stamps and names live after their last use: longer than entries do
AT_ONCE = 1_000  # names a command
EVERY, SAMPLE = 16, 64  # so many writes apart, so many names are looked at whether they have an entry still
MOST_ROUNDS = 1_000  # of giving memory back


@dataclass(frozen=True, slots=True)
class Lease:
    """The stamps there were when something was asked for; ``refusal``: why Redis would take no new ones."""

    stamps: Stamps
    refusal: Exception | None = None


class RedisTier:
    """Redis at ``url``, which answers within ``timeout`` seconds or counts as gone.

    SettingError for an address that is none. That the server can be reached is not asked: it may come later.
    """

    name = "redis"

    def __init__(self, url: str, timeout: float, clock: Callable[[], float] = time.time) -> None:
        try:
            self._server = redis.Redis.from_url(
                url, protocol=2, socket_timeout=timeout, socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 0)
            )
        except ValueError as error:
            raise SettingError(f"The address of the cache cannot be used ({error}): give redis://HOST:PORT.") from error
        self._clock = clock
        self._writes = count(1)

    def get(self, keys: Sequence[Key]) -> Reading:
        named = beginnings(keys)
        stored = self._many([f"{ENTRY}{key.text}" for key in keys] + [f"{STAMP}{name}" for name in named])
        stamps = Stamps(dict(zip(named, stored[len(keys) :], strict=True)))
        found = dict[Key, Entry]()
        for key, value in zip(keys, stored, strict=False):
            entry = opened(key, value, stamps) if value is not None else None
            if entry is not None:
                found[key] = entry
        missing = [key for key in keys if key not in found]
        return Reading(found, self._lease(stamps, beginnings(missing)))

    def put(self, entries: Mapping[Key, Entry], lease: Lease) -> None:
        if lease.refusal:
            raise lease.refusal
        now, pipe = self._clock(), self._server.pipeline(transaction=False)
        for key, entry in entries.items():
            stamp, milliseconds = lease.stamps.digest(key.text), int(1000 * (entry.expires - now))
            if stamp is not None and milliseconds > 0:
                pipe.set(entry_name(key), stamp + bytes(entry.packed), px=milliseconds)
                pipe.zadd(names_of(key), {key.text: 0})
        everywhere = {names_of(key) for key in entries}
        for name in (*map(stamp_name, beginnings(list(entries))), *everywhere):
            pipe.expire(name, KEPT)
        pipe.execute()
        if next(self._writes) % EVERY == 0:
            for names in everywhere:
                self._weed(names)

    def below(self, prefix: Key, most: int) -> dict[Key, Entry]:
        keys = self._below(prefix, most)
        entries = self.get(keys).entries if keys else {}
        if gone := [key.text for key in keys if key not in entries]:
            self._server.zrem(names_of(prefix), *gone)
        return entries

    def invalidate(self, prefix: Key) -> int:
        # The first round takes the prefix's own stamp, which is what counts; the others give memory back. Redis does
        # all of that even when it is full.
        gone, keys = 0, [prefix]
        for _ in range(MOST_ROUNDS):
            pipe = self._server.pipeline(transaction=False)
            pipe.unlink(*(stamp_name(name) for name in beginnings(keys) if len(name) >= len(prefix.text)))
            pipe.unlink(*map(entry_name, keys))
            pipe.zrem(names_of(prefix), *(key.text for key in keys))
            gone += int(pipe.execute()[1])
            if not (keys := self._below(prefix, AT_ONCE)):
                break
        return gone

    def close(self) -> None:
        self._server.close()

    def _many(self, names: Sequence[str]) -> list[Any]:
        found: list[Any] = self._server.mget(names)
        if len(found) != len(names):
            raise ValueError("it does not answer as Redis does")
        return found

    def _lease(self, stamps: Stamps, wanted: Sequence[str]) -> Lease:
        """The stamps, with new ones where those wanted are missing."""
        if not (missing := stamps.missing(wanted)):
            return Lease(stamps)
        pipe = self._server.pipeline(transaction=False)
        for name in missing:
            pipe.set(stamp_name(name), secrets.token_bytes(LENGTH), nx=True, ex=KEPT)
        pipe.mget([stamp_name(name) for name in missing])
        *done, found = pipe.execute(raise_on_error=False)
        refusal = next((answer for answer in (*done, found) if isinstance(answer, Exception)), None)
        if refusal is not None:
            return Lease(stamps, refusal)
        return Lease(stamps.with_more(dict(zip(missing, found, strict=True))))

    def _below(self, prefix: Key, most: int) -> list[Key]:
        start, end = (f"[{text}".encode() for text in prefix.span)
        names: Any = self._server.zrangebylex(names_of(prefix), start, end, start=0, num=most)
        return [Key.parse(name.decode()) for name in names]

    def _weed(self, names: str) -> None:
        """Takes names out of the set whose entries are gone, a few at a time: so it stays in proportion."""
        drawn: Any = self._server.zrandmember(names, SAMPLE)
        drawn = [name.decode() for name in drawn]
        pipe = self._server.pipeline(transaction=False)
        for name in drawn:
            pipe.exists(ENTRY + name)
        if gone := [name for name, there in zip(drawn, pipe.execute(), strict=True) if not there]:
            self._server.zrem(names, *gone)


def opened(key: Key, value: bytes, stamps: Stamps) -> Entry | None:
    """A value as an entry, unless it was invalidated or is none."""
    stamp = stamps.digest(key.text)
    return unpack(key, memoryview(value)[LENGTH:]) if stamp is not None and value[:LENGTH] == stamp else None


def entry_name(key: Key) -> str:
    """Where Redis keeps a value."""
    return ENTRY + key.text


def stamp_name(text: str) -> str:
    """Where Redis keeps the stamp of a beginning."""
    return STAMP + text


def names_of(key: Key) -> str:
    """Where Redis keeps all names that begin with the key's first part."""
    return NAMES + key.text.partition(":")[0]
