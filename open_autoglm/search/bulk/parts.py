"""The numbered parts that bulk work is split into, and how a worker reads their pictures.

It knows files, spans of files and Parquet rows; it knows nothing about models or where results go.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ...errors import ImageError, SettingError, needing
from ..facts import check
from ..records import Json, shown_path

MOST_NOTES = 2**20  # bytes of one text beside a picture
NOTES = {".txt": "caption", ".caption": "caption", ".cls": "label"}


@dataclass(frozen=True, slots=True)
class Span:
    """``length`` bytes at ``offset`` of a file; to its end where there is no length."""

    file: str
    offset: int = 0
    length: int | None = None

    def read(self, most: int) -> bytes:
        """The bytes, at most ``most`` and one. ImageError where the file is gone or shorter than it was."""
        wanted = most + 1 if self.length is None else min(self.length, most + 1)
        try:
            with Path(self.file).open("rb") as file:
                file.seek(self.offset)
                data = file.read(wanted)
        except OSError as error:
            raise ImageError(f"The file {shown_path(self.file)} cannot be read: {error.strerror}.") from error
        if self.length is not None and len(data) < wanted:
            raise ImageError(f"The file {shown_path(self.file)} is damaged or cut short: copy it again.")
        return data


@dataclass(frozen=True, slots=True)
class Item:
    """A picture of the source, which its ``key`` identifies for ever: a path's bytes.

    ``content`` is where its bytes are, or None where it cannot be used, for a ``reason``. ``notes`` are texts beside
    it, by their ending.
    """

    key: bytes
    mtime_ns: int
    content: Span | bytes | None
    notes: tuple[tuple[str, Span], ...] = ()
    metadata: Mapping[str, Json] = field(default_factory=dict)
    reason: str = ""

    def read(self, most: int) -> bytes:
        """The picture's bytes. ImageError where they cannot be had, or are more than ``most``."""
        if self.content is None:
            raise ImageError(self.reason)
        data = self.content.read(most) if isinstance(self.content, Span) else self.content
        if len(data) > most:
            raise ImageError(f"The picture has more than {most} bytes, the limit.")
        return data

    def facts(self) -> dict[str, Json]:
        """What is known of the picture beside its pixels: what an index can keep of it."""
        known: dict[str, Any] = dict(self.metadata)
        for ending, span in self.notes:
            try:
                text = span.read(MOST_NOTES).decode("utf-8-sig", "replace")
                found = json.loads(text) if ending == ".json" else {NOTES[ending]: text.strip()}
            except (ImageError, ValueError, RecursionError):
                continue  # a note that cannot be read is no reason to go without the picture
            known |= found if isinstance(found, dict) else {}
        return keepable(known)


class Part(Protocol):
    """Some pictures in a row; whoever works on it, and however often, comes to the same rows."""

    @property
    def number(self) -> int:
        """Its place among the parts, from 0."""

    @property
    def first(self) -> int:
        """The id of its first picture."""

    def __len__(self) -> int: ...

    def items(self) -> Iterator[Item]:
        """Its pictures, in their order."""


@dataclass(frozen=True)
class Listed:
    """A part whose pictures were listed: files of a folder, members of tar shards."""

    number: int
    first: int
    listed: tuple[Item, ...]

    def __len__(self) -> int:
        return len(self.listed)

    def items(self) -> Iterator[Item]:
        """The pictures listed. SettingError where not one of their files is there."""
        files = {item.content.file for item in self.listed if isinstance(item.content, Span)}
        if files and not any(Path(file).exists() for file in files):
            # A machine that does not see the source must not store that all of it is unusable.
            raise SettingError(
                f"On the machine {socket.gethostname()} there is no {shown_path(min(files))}, nor what was listed with "
                "it: the source must be there, under the same path on every machine."
            )
        return iter(self.listed)


@dataclass(frozen=True)
class Rows:
    """A part that is ``count`` rows of a Parquet file from row ``start`` on, with a column of pictures."""

    number: int
    first: int
    file: str
    mtime_ns: int
    start: int
    count: int
    column: str

    def __len__(self) -> int:
        return self.count

    def items(self) -> Iterator[Item]:
        """Encoded pictures as they lie in the column; where it holds paths, files beside the table."""
        number = self.start
        for row in self._rows():
            value = row.pop(self.column)
            yield self._item(number, value, keepable(row))
            number += 1

    def _item(self, number: int, value: Any, metadata: Mapping[str, Json]) -> Item:
        own = os.fsencode(f"{self.file}/{number}")
        if isinstance(value, dict):  # as Hugging Face keeps pictures: {"bytes": ..., "path": ...}
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return Item(own, self.mtime_ns, value, metadata=metadata)
        if isinstance(value, str) and value:
            path = os.path.normpath(Path(self.file).parent / value)
            try:
                return Item(os.fsencode(path), Path(path).stat().st_mtime_ns, Span(path), metadata=metadata)
            except (OSError, ValueError):
                reason = f"There is no file {shown_path(path)}."
                return Item(own, self.mtime_ns, None, metadata=metadata, reason=reason)
        return Item(own, self.mtime_ns, None, metadata=metadata, reason="The row has no picture.")

    def _rows(self) -> Iterator[dict[str, Any]]:
        with needing("Reading Parquet", "cluster"):
            import pyarrow.parquet
        skip, left = self.start, self.count
        try:
            table = pyarrow.parquet.ParquetFile(self.file)
            for group in range(table.num_row_groups):
                rows = table.metadata.row_group(group).num_rows
                if skip >= rows:
                    skip -= rows
                    continue
                for batch in table.iter_batches(64, row_groups=[group]):
                    for row in batch.slice(skip, left).to_pylist():
                        left -= 1
                        yield row
                    skip = max(0, skip - len(batch))
                    if not left:
                        return
        except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
            reason = str(error).partition("\n")[0][:200].rstrip(".")
            raise SettingError(
                f"{shown_path(self.file)} cannot be read as Parquet ({reason}): copy it again."
            ) from error


def keepable(metadata: Mapping[str, Any]) -> dict[str, Json]:
    """The columns that an index can keep: numbers and texts, by a name that no picture has already."""
    kept: dict[str, Json] = {}
    for name, value in metadata.items():
        try:
            kept |= check("", {name: value})
        except SettingError:
            continue
    return kept
