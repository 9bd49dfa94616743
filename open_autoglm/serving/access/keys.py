"""API keys: made, revoked, and recognised by a file that holds their hashes alone.

It knows keys and their file; it knows nothing of requests. A key is 256 random bits, so its SHA-256 says nothing about
it and guessing is hopeless: a slow password hash would protect no better, and cost every request its time.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import SettingError
from ..caller import Caller
from .scopes import check_scopes
from .tenants import check_tenant
from .watched import Watched, read_text

PREFIX = "autoglm_"
_KEY = re.compile(r"autoglm_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@-]{0,62}[A-Za-z0-9])?")
_HASH = re.compile(r"[0-9a-f]{64}")
_ID = re.compile(r"[0-9a-f]{12}")
_LATEST = 2.5e11  # seconds since 1970, in the year 9892
_NOBODY = "0" * 64
_log = logging.getLogger("open_autoglm.access")


@dataclass(frozen=True)
class Key:
    """One line of the file: whose key it is, what it may be used for, until when (seconds since 1970), its hash."""

    id: str
    name: str
    tenant: str
    scopes: tuple[str, ...]
    sha256: str
    expires: float | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SettingError(
                f"A key cannot be called {self.name[:70]!r}: use 1 to 64 letters, digits, spaces, '.', '_', '@' and "
                "'-', beginning and ending with a letter or digit."
            )
        check_tenant(self.tenant)
        check_scopes(self.scopes)

    @property
    def until(self) -> str:
        """When it ends, in words."""
        return "never" if self.expires is None else f"{datetime.fromtimestamp(self.expires, UTC):%Y-%m-%d %H:%M} UTC"


def new_key(path: Path, name: str, tenant: str, scopes: Sequence[str], expires: float | None = None) -> tuple[Key, str]:
    """Adds a key to the file, which need not exist yet: its line, and the key itself, which is kept nowhere.

    Raises SettingError for a name that is taken, and for what no line can hold.
    """
    id = secrets.token_hex(6)
    secret = f"{PREFIX}{id}_{secrets.token_urlsafe(32)}"
    made = Key(id, name, tenant, tuple(dict.fromkeys(scopes)), _hash(secret), expires)
    with _changing(path) as lines:
        if any(key.name == name for key in _keys(lines)):
            raise SettingError(f"{path} has a key called {name} already: revoke it first, or choose another name.")
        lines.append(made)
    return made, secret


def revoke_key(path: Path, name: str) -> Key:
    """Takes the key of that name or id out of the file. Raises SettingError where there is none."""
    with _changing(path) as lines:
        found = next((key for key in _keys(lines) if name in (key.name, key.id)), None)
        if found is None:
            raise SettingError(f"{path} has no key called {name}: 'autoglm key list' shows those it has.")
        lines.remove(found)
    return found


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises SettingError for a file that cannot be read, or a line that is none."""
    return [_parsed(path, number, line) for number, line in _lines(path)]


def readable_keys(path: Path) -> tuple[list[Key], list[str]]:
    """The keys of a file that can be read, and of each other line a sentence. SettingError for no such file."""
    found = [one for _, one in _found(path)]
    keys = [one for one in found if isinstance(one, Key)]
    return keys, [str(one) for one in found if isinstance(one, SettingError)]


class KeyFile:
    """Who a key belongs to, by a file that is read again when it changes."""

    def __init__(self, path: Path) -> None:
        read_keys(path)  # a mistake in it is told when the server starts
        self._file: Watched[Mapping[str, Key]] = Watched(path, _usable)

    def recognise(self, secret: str, now: float) -> Caller | str:
        """The caller whose key this is; a sentence where it is nobody's."""
        known = _KEY.fullmatch(secret)
        key = self._file.get().get(known[1]) if known else None
        # Compared for an unknown id too, and in constant time: how long it takes tells nothing about any key.
        right = hmac.compare_digest(_hash(secret), key.sha256 if key else _NOBODY)
        if key is None or not right:
            return "This API key is not known: it was mistyped or revoked."
        if key.expires is not None and now >= key.expires:
            return "This API key has expired: ask for a new one."
        return Caller(key.tenant, key.name, frozenset(key.scopes))


def _usable(path: Path) -> dict[str, Key]:
    """The keys by id; nobody is let in by a line, or a file, that cannot be read."""
    try:
        keys, damaged = readable_keys(path)
    except SettingError as error:
        _log.error("%s No key works.", error)
        return {}
    for sentence in damaged:
        _log.error("%s Its key does not work.", sentence)
    return {key.id: key for key in keys}


def _lines(path: Path) -> list[tuple[int, str]]:
    text = read_text(path, "The file of keys", 2**24)
    return [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _found(path: Path) -> list[tuple[str, Key | SettingError]]:
    """Each line, with its key or why it is none."""
    found: list[tuple[str, Key | SettingError]] = []
    for number, line in _lines(path):
        try:
            found.append((line, _parsed(path, number, line)))
        except SettingError as error:
            found.append((line, error))
    return found


def _parsed(path: Path, number: int, line: str) -> Key:
    try:
        return _from_document(json.loads(line))
    except SettingError as error:
        raise SettingError(f"Line {number} of {path}: {error}") from error
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SettingError(f"Line {number} of {path} is no key that 'autoglm key new' wrote.") from error


def _from_document(document: dict[str, Any]) -> Key:
    scopes, hashed, expires = document["scopes"], document["sha256"], document["expires"]
    timed = expires is None or (type(expires) in (int, float) and abs(expires) < _LATEST)
    if not isinstance(scopes, list) or not timed or not _HASH.fullmatch(hashed) or not _ID.fullmatch(document["id"]):
        raise ValueError
    return Key(**{**document, "scopes": tuple(scopes)})


@contextmanager
def _changing(path: Path) -> Iterator[list[Key | str]]:
    """The keys of the file, and afterwards the file with what has become of them; others wait meanwhile.

    A line that is no key is a text and stays as it is: a damaged file must not keep a leaked key from being revoked.
    """
    path = path.resolve()
    with _locked(path.parent):
        found = _found(path) if path.exists() else []
        lines = [one if isinstance(one, Key) else line for line, one in found]
        yield lines
        _replace(path, "".join(f"{_written(line)}\n" for line in lines))


def _keys(lines: Iterable[Key | str]) -> list[Key]:
    return [line for line in lines if isinstance(line, Key)]


def _written(line: Key | str) -> str:
    return line if isinstance(line, str) else json.dumps(asdict(line), ensure_ascii=False)


def _replace(path: Path, text: str) -> None:
    """Writes a new file in the place of the old one, which a crash leaves whole; it can be read by whom it could."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # its owner alone
    try:
        with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123  (it is open already)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            Path(name).chmod(path.stat().st_mode & 0o777)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8")).hexdigest()
