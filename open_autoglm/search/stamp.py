"""A stamp beside an index, renewed by whoever has changed it: read at once, where asking SQLite takes its time.

It knows a file of a few bytes; it knows nothing about what has changed.
"""

from __future__ import annotations

import os
import stat
import weakref
from contextlib import suppress
from pathlib import Path

FILE = "index.stamp"
SIZE = 8  # bytes, drawn anew each time: a number that is counted up by two at once could be the same twice


class Stamp:
    """The stamp of an index, beside its ``database``; it is made where it may be written.

    Where it is taken away meanwhile, or another one put in its place, that is noticed. For one thread at a time, but
    for ``read``.
    """

    def __init__(self, database: Path, writable: bool) -> None:
        self._database, self._writable = database, writable
        self._file: int | None = None
        self._end: weakref.finalize[[int], Stamp] | None = None
        self._open()

    def read(self) -> bytes | None:
        """Another one since anything was changed; None where that cannot be told."""
        with suppress(OSError, TypeError):  # there is none, or it is being closed
            if os.fstat(self._file).st_nlink:  # type: ignore[arg-type]
                return os.pread(self._file, SIZE, 0)  # type: ignore[arg-type]
        return None

    def renew(self) -> None:
        """Tells all who read that something was changed."""
        with suppress(OSError):  # a full disk: they will ask soon
            if self._file is None or not os.fstat(self._file).st_nlink:
                self.close()
                self._open()
            if self._file is not None:
                os.pwrite(self._file, os.urandom(SIZE), 0)

    def close(self) -> None:
        """Ends the use of the file."""
        self._file = None
        if self._end is not None:
            self._end()

    def _open(self) -> None:
        path = self._database.with_name(FILE)
        with suppress(OSError):
            if not self._writable:
                self._keep(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK))
                return
            if path.exists() and not os.access(path, os.W_OK):
                path.unlink()  # another user's, who has it open and will see that it is gone
            self._keep(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK))
            self._share(path)

    def _keep(self, file: int) -> None:
        self._end = weakref.finalize(self, os.close, file)
        self._end.atexit = False  # whoever writes as late as that writes into this file and no other
        self._file = file

    def _share(self, path: Path) -> None:
        """Lets those write it who may write the database."""
        with suppress(OSError):
            status = self._database.stat()
            path.chmod(stat.S_IMODE(status.st_mode))
            os.chown(path, status.st_uid, status.st_gid)
