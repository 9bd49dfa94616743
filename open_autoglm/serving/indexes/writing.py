"""Adds pictures that were sent to an index and takes them out again, each with an outcome of its own.

It knows files and indexes; it knows nothing of HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ImageError, OpenAutoGLMError, PictureNotFound
from ...search import Index, Json
from ...search.facts import check
from ...search.records import shown_path
from . import sent


@dataclass(frozen=True)
class NewPicture:
    """A picture to add: what it is called, its bytes, and its columns for ``where``."""

    name: str
    content: bytes
    metadata: Mapping[str, Json] = field(default_factory=dict)


def add(index: Index, folder: Path, pictures: Sequence[NewPicture]) -> list[int | OpenAutoGLMError]:
    """The id of each picture, or why it was not added; what could be added is stored for good when this returns.

    The same picture under the same name is there once, with the newest metadata.
    """
    outcomes: list[int | OpenAutoGLMError | None] = [None] * len(pictures)
    files: dict[int, Path] = {}
    metadata: dict[str, Mapping[str, Json]] = {}
    for number, picture in enumerate(pictures):
        try:
            columns = check(picture.name, picture.metadata)
        except OpenAutoGLMError as error:
            outcomes[number] = error
            continue
        files[number] = sent.keep(folder, picture.name, picture.content)
        metadata[str(files[number])] = columns
    report = index.add(list(dict.fromkeys(files.values())), metadata) if files else None
    reasons = {skipped.path: skipped.reason for skipped in report.skipped} if report is not None else {}
    for number, file in files.items():
        outcomes[number] = _outcome(index, folder, file, reasons)
    return [outcome for outcome in outcomes if outcome is not None]


def remove(index: Index, folder: Path, id: int) -> None:
    """Takes a picture out, and its file if it was sent. PictureNotFound for an unknown id."""
    file = index.get(id).file
    if not index.delete(id):
        raise PictureNotFound(f"There is no picture {id} in the index.")
    sent.forget(folder, file)


def _outcome(index: Index, folder: Path, file: Path, reasons: Mapping[str, str]) -> int | OpenAutoGLMError:
    try:
        return index.find(file)
    except PictureNotFound:
        sent.forget(folder, file)
        return ImageError(reasons.get(shown_path(file), "The picture cannot be used."))
