"""Reads a picture's file for the page: its bytes with their real type, or a small JPEG of it.

It knows files and picture formats; it knows nothing of the index or of HTTP.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ..errors import ImageError
from ..runtime.images import ImageLimits, thumbnail

# Where each format's mark lies, and how a browser calls it; anything else is offered as a download only.
_MARKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (0, b"BM", "image/bmp"),
)
DOWNLOAD = "application/octet-stream"


class PictureGone(Exception):
    """The index knows the picture, but its file is missing or no longer a picture."""


@dataclass(frozen=True)
class Picture:
    """A picture's file as it is: its name, its bytes and their real content type."""

    name: str
    content: bytes
    media_type: str


@dataclass(frozen=True)
class Thumbnail:
    """A small JPEG, or None where its tag was known; the tag changes when the file does."""

    tag: str
    content: bytes | None


def media_type(content: bytes) -> str:
    """The content type by the bytes themselves, whatever the file is called."""
    for start, mark, kind in _MARKS:
        if content.startswith(mark, start):
            return kind
    return DOWNLOAD


def suffix(content: bytes) -> str:
    """How a file with these bytes should be called in the end; nothing for what is no picture."""
    kind = media_type(content)
    return "" if kind == DOWNLOAD else "." + kind.removeprefix("image/").replace("jpeg", "jpg")


def read_picture(file: Path, limits: ImageLimits) -> Picture:
    """The file as it is. Raises PictureGone if it is missing, unreadable, no regular file or too large."""
    _state(file, limits)
    content = _read(file)
    return Picture(file.name, content, media_type(content))


def read_thumbnail(file: Path, longest: int, known: str | None, limits: ImageLimits) -> Thumbnail:
    """A JPEG of the picture whose longer side is at most ``longest`` pixels. Raises PictureGone."""
    state = _state(file, limits)
    tag = f'"{state.st_mtime_ns:x}-{state.st_size:x}-{longest}"'
    if known is not None and tag in known:
        return Thumbnail(tag, None)
    try:
        return Thumbnail(tag, thumbnail(_read(file), longest, limits))
    except ImageError as error:
        raise PictureGone("The picture's file can no longer be read as a picture.") from error


def _state(file: Path, limits: ImageLimits) -> os.stat_result:
    try:
        state = file.stat()
    except OSError as error:
        raise PictureGone("The picture's file is gone: it was moved or deleted since it was indexed.") from error
    if not stat.S_ISREG(state.st_mode) or state.st_size > limits.max_bytes:
        raise PictureGone("The picture's file was replaced by something that cannot be shown.")
    return state


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise PictureGone("The picture's file cannot be read: its permissions may have changed.") from error
