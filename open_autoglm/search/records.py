"""What an index hands out: hits, records, and the report of what an addition did.

It knows nothing about how any of them is stored or found.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

Json: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class WordMatch:
    """Where in a picture a word is: ``region``, row by row from the top left, and its cosine."""

    word: str
    region: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A picture found; ``score`` is the model's similarity for a text, a cosine in -1..1 for a picture.

    For several texts it is their weighed mean, to which a picture beside them and what is written add something.
    ``words``: where each word of the text is, for a model that compares words with regions. ``match``: the probability
    that the text belongs to the picture, where it was looked at twice; where it could not be, ``note`` says why.
    """

    id: int
    path: str
    score: float
    metadata: dict[str, Json]
    words: tuple[WordMatch, ...] = ()
    match: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Record:
    """A picture of the index.

    ``file`` opens it, even where its name is not UTF-8; ``path``, ``folder`` and ``name`` are for showing,
    always valid text. ``size`` is in bytes, ``width`` and ``height`` in pixels. ``date`` is when the picture was
    taken, where its EXIF data say so: ISO 8601 in the camera's local time, as in 2024-05-01T12:00:00; otherwise
    when the file was last changed: the same in UTC, with a Z at its end.
    """

    id: int
    file: Path
    path: str
    folder: str
    name: str
    size: int
    date: str
    width: int
    height: int
    metadata: dict[str, Json]


@dataclass(frozen=True)
class Skipped:
    """A file or folder that could not be used, and why in one sentence."""

    path: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far an addition is: ``done`` files of ``total``, the last of them ``path``."""

    done: int
    total: int
    path: str


@dataclass(frozen=True)
class AddReport:
    """What an addition did, in pictures; ``updated`` counts changed pictures and changed metadata."""

    added: int
    updated: int
    moved: int
    unchanged: int
    removed: int
    skipped: tuple[Skipped, ...]


def shown_path(path: str | bytes | os.PathLike[str]) -> str:
    """A path as valid text: bytes that are not UTF-8 become ``\\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
