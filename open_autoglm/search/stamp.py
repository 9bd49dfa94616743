"""A stamp beside an index, renewed by whoever has changed it: read at once, where asking SQLite takes its time.

It knows a file of a few bytes; it knows nothing about what has changed.
"""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path

FILE = "index.stamp"
SIZE = 8  # bytes, drawn anew each time: a number that is counted up by two at once could be the same twice


class Stamp:
    """The stamp in a directory; it is made where it may be written, and closed where it is forgotten."""

    def __init__(self, folder: Path, writable: bool) -> None:
        self._file: int | None = None
        with suppress(OSError):  # without it there is nothing to read, and SQLite is asked each time
            flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
            self._file = os.open(folder / FILE, flags | os.O_CLOEXEC, 0o644)
            self._end = weakref.finalize(self, os.close, self._file)

    def read(self) -> bytes | None:
        """Another one since anything was changed; None where that cannot be told."""
        return None if self._file is None else os.pread(self._file, SIZE, 0)

    def renew(self) -> None:
        """Tells all who read that something was changed."""
        if self._file is not None:
            with suppress(OSError):  # a full disk: they will ask soon
                os.pwrite(self._file, os.urandom(SIZE), 0)

    def close(self) -> None:
        """Ends the use of the file."""
        if self._file is not None:
            self._file = None
            self._end()
