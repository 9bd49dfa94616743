"""Lists what bulk work is to be done on: folders of pictures, Parquet tables, webdataset's tar shards.

It knows how pictures are kept; it reads none of them, and knows nothing about models.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import SettingError, needing
from ..ingest import chunks
from ..records import Skipped, shown_path
from ..scan import PICTURE_SUFFIXES, absolute, scan
from .parts import NOTES, Item, Listed, Part, Rows, Span

TAR, PARQUET = ".tar", ".parquet"
PICTURE_COLUMNS = ("image", "picture", "jpg", "path", "file", "file_name", "image_path")


@dataclass(frozen=True)
class Source:
    """The parts of a source, all that follows from it and ``part_size`` alone.

    ``digest`` is another one where a picture was added, removed or changed. ``skipped`` is what could not even be
    listed.
    """

    parts: tuple[Part, ...]
    digest: str
    skipped: tuple[Skipped, ...] = ()

    @property
    def pictures(self) -> int:
        """How many pictures there are, usable or not."""
        return sum(len(part) for part in self.parts)


def read_source(given: Sequence[str | os.PathLike[str]], part_size: int, column: str | None = None) -> Source:
    """Looks at a folder, Parquet files or tar shards; ``column`` holds the pictures of a table.

    Raises SettingError where something is missing, empty, mixed with another kind or has no such column.
    """
    files = [file for one in given for file in expanded(absolute(one))]
    kinds = {Path(file).suffix.lower() if is_packed(file) else "" for file in files}
    if len(kinds) != 1:
        raise SettingError(f"{named(given)} holds several kinds of sources: name tar shards or Parquet files alone.")
    if column is not None and kinds != {PARQUET}:
        raise SettingError(f"{named(given)} is no Parquet table: it has no column {column!r}.")
    if kinds == {PARQUET}:
        return checked(given, tables(files, part_size, column))
    if kinds == {TAR}:
        items: Iterator[Item] = (item for shard in files for item in members(shard))
        return checked(given, listed(items, part_size))
    found = scan(files[0] if len(files) == 1 else files)
    items = (Item(file.key, file.mtime_ns, Span(file.path)) for file in found.files)
    return checked(given, listed(items, part_size, tuple(found.skipped)))


def expanded(path: str) -> list[str]:
    """The tar shards or Parquet files of a folder that holds such; otherwise the path itself."""
    place = Path(path)
    if not place.exists():
        raise SettingError(f"There is nothing at {shown_path(path)}: name a folder, a Parquet file or a tar shard.")
    if place.name.lower().endswith((".tar.gz", ".tgz")):
        raise SettingError(f"{shown_path(path)} is compressed, so that no part can be read by itself: unpack it first.")
    if not place.is_dir():
        return [path]
    inside = sorted(str(file) for file in place.iterdir() if not file.name.startswith("."))
    packed = [file for file in inside if is_packed(file)]
    if packed and any(file.lower().endswith(PICTURE_SUFFIXES) for file in inside):
        raise SettingError(f"{shown_path(path)} holds pictures beside {Path(packed[0]).name}: name either alone.")
    return packed or [path]


def is_packed(file: str) -> bool:
    """Whether many pictures lie in this one file."""
    return file.lower().endswith((TAR, PARQUET)) and not Path(file).is_dir()


def listed(items: Iterator[Item], part_size: int, skipped: tuple[Skipped, ...] = ()) -> Source:
    """Parts of items, a new one after every ``part_size``."""
    parts: list[Part] = []
    digest = hashlib.sha256(f"listed {part_size} ".encode())
    for number, part in enumerate(chunks(items, part_size)):
        parts.append(Listed(number, number * part_size + 1, tuple(part)))
        for item in part:
            digest.update(repr((item.key, item.mtime_ns, item.content, item.reason)).encode())
    return Source(tuple(parts), digest.hexdigest(), skipped)


def tables(files: Sequence[str], part_size: int, column: str | None) -> Source:
    """Parts of rows; none reaches into another file."""
    with needing("Reading Parquet", "cluster"):
        import pyarrow.parquet
    parts: list[Part] = []
    digest = hashlib.sha256(f"rows {part_size} ".encode())
    first = 1
    for file in files:
        try:
            status = Path(file).stat()
            table = pyarrow.parquet.ParquetFile(file)
            names, rows = table.schema_arrow.names, table.metadata.num_rows
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0][:200].rstrip(".")
            raise SettingError(f"{shown_path(file)} cannot be read as Parquet ({reason}): copy it again.") from error
        wanted = picture_column(file, names, column)
        digest.update(repr((file, status.st_size, status.st_mtime_ns, rows, wanted)).encode())
        for start in range(0, rows, part_size):
            count = min(part_size, rows - start)
            parts.append(Rows(len(parts), first, file, status.st_mtime_ns, start, count, wanted))
            first += count
    return Source(tuple(parts), digest.hexdigest())


def picture_column(file: str, names: Sequence[str], column: str | None) -> str:
    """The column asked for, or the first one that is called as pictures are."""
    found = [name for name in ((column,) if column is not None else PICTURE_COLUMNS) if name in names]
    if not found:
        missing = f"no column {column!r}" if column is not None else "no column that is called like pictures"
        raise SettingError(
            f"{shown_path(file)} has {missing}: name the one with pictures or their paths with --column "
            f"(it has {', '.join(map(str, names))})."
        )
    return found[0]


def members(shard: str) -> Iterator[Item]:
    """The pictures of a tar shard, with the texts of the same name beside them; a damaged end is an item, too."""
    picture: Item | None = None
    notes: list[tuple[str, Span]] = []
    key, seen = "", 0
    mtime_ns = Path(shard).stat().st_mtime_ns
    try:
        with tarfile.open(shard, "r:") as archive:
            for member in archive:
                seen += 1
                if not member.isreg() or member.issparse():
                    continue
                base, ending = split_name(member.name)
                if base != key and picture is not None:
                    yield with_notes(picture, notes)
                if base != key:
                    key, picture, notes = base, None, []
                span = Span(shard, member.offset_data, member.size)
                if ending.endswith(PICTURE_SUFFIXES):
                    if picture is not None:
                        yield with_notes(picture, notes)
                    picture = Item(os.fsencode(f"{shard}/{member.name}"), mtime_ns, span)
                elif ending in (*NOTES, ".json"):
                    notes.append((ending, span))
        if picture is not None:
            yield with_notes(picture, notes)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if picture is not None:
            yield with_notes(picture, notes)
        reason = f"The shard is damaged or cut short after {seen} members ({error}): copy it again."
        yield Item(os.fsencode(shard), mtime_ns, None, reason=reason)


def with_notes(picture: Item, notes: Sequence[tuple[str, Span]]) -> Item:
    """The picture with the texts that lie beside it."""
    return Item(picture.key, picture.mtime_ns, picture.content, tuple(notes))


def split_name(name: str) -> tuple[str, str]:
    """``a/b.seg.jpg`` is of the row ``a/b`` and ends on ``.seg.jpg``: webdataset splits at the first dot."""
    path = PurePosixPath(name)
    stem, dot, ending = path.name.partition(".")
    return str(path.with_name(stem)) if stem else name, (dot + ending).lower()


def checked(given: Sequence[str | os.PathLike[str]], source: Source) -> Source:
    """The source, where it has a picture; SettingError otherwise."""
    if not source.pictures:
        raise SettingError(f"{named(given)} holds no pictures: name another folder, table or shard.")
    return source


def named(given: Sequence[str | os.PathLike[str]]) -> str:
    """A source as a sentence calls it."""
    return ", ".join(shown_path(os.fspath(one)) for one in given[:3]) + (" and more" if len(given) > 3 else "")
