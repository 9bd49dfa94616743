"""The shapes in which the store takes and gives what it keeps.

It knows nothing about SQL, files or models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FileState:
    """A file as it was when it was read: the path's bytes, the size in bytes, the time of change."""

    key: bytes
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Content:
    """What a file holds: its sha256, the size in pixels, the vectors [views, dimension] as float16 bytes."""

    sha256: bytes
    width: int
    height: int
    vectors: bytes


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
