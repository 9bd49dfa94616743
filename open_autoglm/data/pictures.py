"""Where a picture's bytes are: a file, a part of a file, or memory; and whether it can be decoded.

It knows nothing about captions or tables.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from open_autoglm.errors import DataError, ImageError
from open_autoglm.runtime.decoding import open_picture
from open_autoglm.runtime.images import ImageLimits

_CHECKED_SIDE = 32  # a JPEG is decoded at reduced size: every byte is still read, in a fraction of the time
KEPT_IN_MEMORY = 2**30  # bytes of pictures that have no file; what comes after goes to a temporary file


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes at ``offset`` of a file: a picture in a shard."""

    path: str
    offset: int
    length: int


Picture = Path | Span | bytes


def source_of(picture: Picture, limits: ImageLimits) -> Path | bytes:
    """What ``runtime.images`` decodes. Raises ImageError for a shard that is gone or shorter than it was."""
    if not isinstance(picture, Span):
        return picture
    try:
        with Path(picture.path).open("rb") as file:
            file.seek(picture.offset)
            data = file.read(min(picture.length, limits.max_bytes + 1))
    except OSError as error:
        raise ImageError(f"{picture.path} cannot be read ({error.strerror}).") from error
    if len(data) < min(picture.length, limits.max_bytes + 1):
        raise ImageError(f"{picture.path} is shorter than it was when loading began: copy it again.")
    return data


def identify(picture: Picture, check: Literal["decode", "header", "none"], limits: ImageLimits) -> str:
    """A key that equal pictures share: a hash of the bytes, or with ``none`` the path of what has one.

    Raises ImageError for a picture that ``check`` finds unusable.
    """
    if check == "none" and isinstance(picture, Path):
        if not picture.is_file():
            raise ImageError(f"{picture} is not a picture Open-AutoGLM can read: there is no such file.")
        return f"path:{picture.resolve()}"
    if check == "none" and isinstance(picture, Span):
        return f"span:{Path(picture.path).resolve()}:{picture.offset}"
    if check == "none" and isinstance(picture, bytes):
        return digest(picture)
    opened = open_picture(source_of(picture, limits), limits)
    if check == "decode":
        opened.pixels(_CHECKED_SIDE)
    return digest(opened.data or b"")


def digest(data: bytes) -> str:
    """32 hexadecimal digits, equal for equal bytes."""
    return blake2b(data, digest_size=16).hexdigest()


class Spool:
    """Keeps pictures that came as bytes, each once: in memory up to ``limit`` bytes, beyond it in one temporary file.

    The file is removed with the spool, by the process that made it; workers that hold a copy leave it alone.
    """

    def __init__(self, limit: int = KEPT_IN_MEMORY) -> None:
        self._room = limit
        self._path: str | None = None
        self._end = 0
        self._kept: dict[str, Picture] = {}

    def keep(self, picture: Picture, key: str) -> Picture:
        """The same picture, to be held for the whole training. Raises DataError where the disk is full.

        A table with many questions about a picture repeats its bytes: what has the ``key`` of another is that one.
        """
        if not isinstance(picture, bytes):
            return picture
        if key not in self._kept:
            self._kept[key] = self._stored(picture)
        return self._kept[key]

    def _stored(self, picture: bytes) -> Picture:
        if len(picture) <= self._room:
            self._room -= len(picture)
            return picture
        try:
            if self._path is None:
                handle, self._path = tempfile.mkstemp(prefix="open-autoglm-", suffix=".pictures")
                os.close(handle)
                weakref.finalize(self, _remove, self._path, os.getpid())
            with Path(self._path).open("ab") as file:
                file.write(picture)
        except OSError as error:
            raise DataError(
                f"The pictures do not fit into {tempfile.gettempdir()} ({error.strerror}): set TMPDIR to a folder "
                "with more room, or keep the pictures as files."
            ) from error
        span = Span(self._path, self._end, len(picture))
        self._end += len(picture)
        return span


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:
        Path(path).unlink(missing_ok=True)
