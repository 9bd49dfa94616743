"""The shapes in which the store takes and gives what it keeps, and the columns of a file.

It knows nothing about SQL, files or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from .records import shown_path


@dataclass(frozen=True)
class FileState:
    """A file as it was when it was read: the path's bytes, the size in bytes, the time of change."""

    key: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Content:
    """What a file holds: its sha256, the size in pixels, the vectors [views, dimension] as float16 bytes.

    ``taken`` is when a camera says it took the picture: ISO 8601, the camera's local time.
    """

    sha256: bytes
    width: int
    height: int
    vectors: bytes
    taken: str | None = None


@dataclass(frozen=True)
class Known:
    """What the index knows of a path."""

    id: int
    state: FileState
    sha256: bytes


@dataclass(frozen=True)
class Refused:
    """A file that could not be used, the limits it was tried with, and the reason."""

    state: FileState
    limits: str
    reason: str


@dataclass(frozen=True)
class Changes:
    """What became of the vectors up to ``revision``.

    ``removed`` come first; then ``count`` pictures in ``parts``: ids [n] and float32 [n, views, dimension].
    """

    revision: int
    removed: NDArray[np.int64]
    count: int
    parts: Iterator[tuple[NDArray[np.int64], NDArray[np.float32]]]


def path_columns(key: bytes) -> tuple[bytes, str, str, str]:
    """The columns key, path, folder and name of a path."""
    folder, _, name = key.rpartition(b"/")
    return key, shown_path(key), shown_path(folder or b"/"), shown_path(name)


def state_columns(state: FileState, taken: str | None) -> tuple[int, int, str]:
    """The columns size, mtime_ns and date of a file."""
    return state.size, state.mtime_ns, taken or _date(state.mtime_ns)


def _date(mtime_ns: int) -> str:
    try:
        moment = datetime.fromtimestamp(mtime_ns // 10**9, UTC)
    except (OverflowError, ValueError, OSError):
        return ""  # a time of change that no calendar has
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
