"""Where signing keys come from: a file, or an address that is asked seldom however many tokens name keys it lacks.

It knows fetching, waiting and what to keep meanwhile; it knows nothing of tokens. PyJWT's own client would hold up
the event loop, follow redirects, read without a bound, and ask an address that fails once more for every token.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import httpx

from ...errors import SettingError
from .asking import open_client
from .jwks import SigningKey, parse_keys
from .settings import AccessSettings, is_address
from .watched import Watched, read_text

Keys = tuple[SigningKey, ...]
_log = logging.getLogger("open_autoglm.access")
_LARGEST = 2**18  # bytes of a key set
_MOST_UNKNOWN = 1024
_REMEMBERED = 4  # cooldowns that an unknown key id is remembered for


class NoKeys(Exception):
    """There are no keys to check any token with, and none to be had."""


class KeySource(Protocol):
    """Whatever gives the keys that tokens are signed with."""

    async def keys(self, id: str | None) -> Keys:
        """All keys there are, looked for anew where none of them has this id and it is time. Raises NoKeys."""

    async def close(self) -> None:
        """Lets go of connections."""


def open_source(settings: AccessSettings) -> KeySource:
    """The source that settings name. Raises SettingError for a file that holds no keys."""
    named = settings.jwks or ""
    return FetchedKeys(settings) if is_address(named) else FiledKeys(Path(named))


class FiledKeys:
    """Keys of a file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        self._file: Watched[Keys] = Watched(path, _read)

    async def keys(self, id: str | None) -> Keys:
        return self._file.get()

    async def close(self) -> None:
        pass


def _read(path: Path) -> Keys:
    return parse_keys(read_text(path, "The key set", _LARGEST), str(path))


class FetchedKeys:
    """Keys of an address. However many ask at once, it is fetched once, and not again within the cooldown."""

    def __init__(self, settings: AccessSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._address, self._settings, self._clock = settings.jwks or "", settings, clock
        self._keys: Keys = ()
        self._fetched = self._tried = -float("inf")
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._fetching: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def keys(self, id: str | None) -> Keys:
        now = self._clock()
        if self._keys and now - self._fetched >= self._settings.jwks_outage:
            self._keys = ()
        if not self._keys or self._lacks(id, now):
            looked = await self._refreshed(now)
            if looked and id is not None and not _has(self._keys, id):
                self._note_unknown(id)
        elif now - self._fetched >= self._settings.jwks_lifetime:
            self._refresh(now)  # nobody waits for it: the old keys are good meanwhile
        if not self._keys:
            raise NoKeys
        return self._keys

    async def close(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
        if self._client is not None:
            await self._client.aclose()

    def _lacks(self, id: str | None, now: float) -> bool:
        return id is not None and not _has(self._keys, id) and self._unknown.get(id, now) <= now

    def _note_unknown(self, id: str) -> None:
        self._unknown[id] = self._clock() + _REMEMBERED * self._settings.jwks_cooldown
        self._unknown.move_to_end(id)
        if len(self._unknown) > _MOST_UNKNOWN:
            self._unknown.popitem(last=False)

    async def _refreshed(self, now: float) -> bool:
        """Whether there are keys now that were fetched since this was asked."""
        before = self._fetched
        self._refresh(now)
        if self._fetching is not None:
            # Shielded: one who stops waiting does not end the fetch for the others.
            await asyncio.shield(self._fetching)
        return self._fetched > before

    def _refresh(self, now: float) -> None:
        """Begins to fetch, unless that goes on already or was tried just now."""
        if self._fetching is None and now - self._tried >= self._settings.jwks_cooldown:
            self._tried = now
            self._fetching = asyncio.create_task(self._fetch())

    async def _fetch(self) -> None:
        try:
            found = parse_keys(await self._content(), self._address)
        except Exception as error:  # whatever goes wrong on the way, those who wait are told that there are no keys
            kept = "The last ones stay in force." if self._keys else "No token can be checked."
            _log.error("The keys of tokens could not be fetched from %s (%s). %s", self._address, _named(error), kept)
        else:
            self._fetched = self._clock()
            if found != self._keys:
                _log.info("%d keys of tokens were fetched from %s.", len(found), self._address)
                self._keys = found
                self._unknown.clear()
        finally:
            self._fetching = None

    async def _content(self) -> bytes:
        client = self._client = self._client or open_client()
        # httpx's timeouts are for each read: a server that trickles needs a bound on the whole.
        async with asyncio.timeout(self._settings.jwks_timeout), client.stream("GET", self._address) as reply:
            if reply.status_code != httpx.codes.OK:
                raise SettingError(f"it answered with status {reply.status_code}")
            content = b""
            async for part in reply.aiter_raw():
                content += part
                if len(content) > _LARGEST:
                    raise SettingError(f"it sent more than {_LARGEST} bytes")
            return content


def _has(keys: Keys, id: str) -> bool:
    return any(key.id == id for key in keys)


def _named(error: Exception) -> str:
    return str(error) or type(error).__name__
