"""A file of named sections: written beside the old one and put in its place at once, mapped, checked before use.

It knows bytes and checksums; it knows nothing about what the sections hold.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

MAGIC = b"AGLMAP01"
HEAD = struct.Struct("<8sQQI")  # magic; where the contents are, their bytes and checksum
PAGE = 4096
BLOCK = 1 << 20


class Damaged(Exception):
    """A file that is not as it was written; whoever opens it makes it again."""


class SectionWriter:
    """Writes a file section by section; it is whole once ``finish`` has returned."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("w+b")
        self._places: dict[str, tuple[int, int]] = {}

    @contextmanager
    def section(self, name: str) -> Iterator[Callable[[bytes | memoryview], int]]:
        """Yields what writes the next bytes of a section."""
        start = -(-max(self._file.tell(), HEAD.size) // PAGE) * PAGE
        self._file.seek(start)
        yield self._file.write
        self._places[name] = (start, self._file.tell() - start)

    def mapped(self, name: str) -> Bytes:
        """A section written before, to be read."""
        self._file.flush()
        return _view(_map(self._file.fileno()), *self._places[name])

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Notes facts and checksums, and returns when all of it is on the disk."""
        self._file.flush()
        mapped = _map(self._file.fileno())
        sections = {name: (*place, checksum(_view(mapped, *place))) for name, place in self._places.items()}
        contents = json.dumps({"facts": dict(facts), "sections": sections}).encode()
        end = self._file.seek(0, os.SEEK_END)
        self._file.write(contents)
        self._file.seek(0)
        self._file.write(HEAD.pack(MAGIC, end, len(contents), zlib.crc32(contents)))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends the writing."""
        self._file.close()


class Sections:
    """A file opened by its map, of which pages are read when they are first touched. Damaged where it is not whole."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            self.state = state_of(status)
            if status.st_size < HEAD.size:
                raise Damaged("it is too short")
            self._map = _map(file.fileno())
        magic, start, length, expected = HEAD.unpack_from(self._map)
        contents = bytes(self._map[start : start + length])
        if magic != MAGIC or len(contents) != length or zlib.crc32(contents) != expected:
            raise Damaged("its head does not fit")
        read = json.loads(contents)
        self.facts: dict[str, Any] = read["facts"]
        self._sections: dict[str, tuple[int, int, int]] = read["sections"]

    def __getitem__(self, name: str) -> Bytes:
        """The bytes of a section, unchecked."""
        start, length, _ = self._sections[name]
        return _view(self._map, start, length)

    def names(self) -> list[str]:
        """The names of all sections."""
        return list(self._sections)

    def check(self, *names: str) -> None:
        """Raises Damaged where one of the sections is not as it was written; reads all of them."""
        for name in names:
            if checksum(self[name]) != self._sections[name][2]:
                raise Damaged(f"its section {name} has changed")


def put_in_place(fresh: Path, path: Path) -> None:
    """Gives a finished file its name, in the place of an old one: whoever opens it finds the one or the other."""
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def state_of(status: os.stat_result) -> tuple[int, int, int]:
    """What tells a file from another of the same name."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def checksum(data: Bytes) -> int:
    """Of all bytes, as fast as memory can be read: the sums of blocks, and a CRC of those."""
    whole = len(data) // BLOCK * BLOCK
    sums = data[:whole].view(np.uint64).reshape(-1, BLOCK // 8).sum(axis=1, dtype=np.uint64)
    return zlib.crc32(data[whole:].tobytes(), zlib.crc32(sums.tobytes()))


def _map(file: int) -> mmap.mmap:
    return mmap.mmap(file, 0, access=mmap.ACCESS_READ)


def _view(mapped: mmap.mmap, start: int, length: int) -> Bytes:
    return np.frombuffer(mapped, np.uint8, length, start)
