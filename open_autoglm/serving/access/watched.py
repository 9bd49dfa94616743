"""A file that is read again when it changes; while what it holds cannot be used, the last good content stays.

It knows files; it knows nothing of what they hold.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from ...errors import SettingError

T = TypeVar("T")
_log = logging.getLogger("open_autoglm.access")
_BETWEEN = 0.5  # seconds between two looks at the file


class Watched(Generic[T]):
    """What ``read`` makes of a file. Raises what ``read`` does, SettingError, when it is made and not later."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self.path, self._read = path, read
        self._stamp = _stamp(path)
        self._value = read(path)
        self._looked = time.monotonic()

    def get(self) -> T:
        """What the file holds now, as of half a second ago."""
        if time.monotonic() - self._looked >= _BETWEEN:
            self._looked = time.monotonic()
            stamp = _stamp(self.path)
            if stamp != self._stamp:
                self._stamp = stamp
                self._reread()
        return self._value

    def _reread(self) -> None:
        try:
            self._value = self._read(self.path)
        except SettingError as error:
            _log.error("%s What was read before stays in force.", error)
        else:
            _log.info("%s was read again.", self.path)


def read_text(path: Path, what: str, longest: int = 2**20) -> str:
    """The text of a file. Raises SettingError, which calls it ``what``."""
    try:
        with path.open("rb") as file:
            content = file.read(longest + 1)
        if len(content) > longest:
            raise SettingError(f"{what} {path} is too large: at most {longest} bytes are read.")
        return content.decode("utf-8")
    except OSError as error:
        raise SettingError(f"{what} {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise SettingError(f"{what} {path} is no text in UTF-8.") from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_mtime_ns, state.st_size, state.st_ino
