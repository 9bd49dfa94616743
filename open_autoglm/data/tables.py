"""What every source gives: rows of named cells, and where relative picture paths start.

It also finds the files that a path or pattern names; it knows nothing of any one format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from open_autoglm.errors import DataError

from .settings import DataSettings

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MAX_RANGE = 1_000_000


class Unusable(Exception):
    """Why a row or a cell cannot be used, in words; it becomes a problem of that row and never reaches the user."""


@dataclass(frozen=True)
class Row:
    """One row: the place to name in messages, and its cells, or why it could not be read."""

    where: str
    cells: dict[str, Any]
    root: Path | None = None  # where relative paths start; None: this source has no files beside it
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """The names of all columns, and the rows, read once.

    ``own``: the table was written by the user, so that absolute paths in it are meant.
    """

    columns: tuple[str, ...]
    rows: Iterable[Row]
    own: bool = True


class Source(Protocol):
    """Reads one kind of data. Raises DataError for what cannot be read at all; a bad row is a Row with a problem."""

    def __call__(self, settings: DataSettings) -> Table: ...


def expand(settings: DataSettings, endings: tuple[str, ...]) -> list[Path]:
    """The files that ``settings.paths`` name, sorted within a pattern or folder. Raises DataError where none is."""
    found: list[Path] = []
    for pattern in settings.paths:
        for name in _numbered(pattern):
            path = Path(name).expanduser()
            if path.is_dir():
                files = sorted(file for file in path.iterdir() if file.name.endswith(endings))
            elif path.is_file():
                files = [path]
            else:
                files = sorted(file for file in _glob(path) if file.is_file())
            if not files:
                raise DataError(f"{name} names no {' or '.join(endings)} file: check the data's path.")
            found += files
    return found


def guess_source(settings: DataSettings) -> str:
    """The key in SOURCES for what ``settings.path`` names. Raises DataError where nothing fits."""
    first = settings.paths[0]
    for ending, source in _ENDINGS.items():
        if first.lower().endswith(ending):
            return source
    path = Path(first).expanduser()
    if path.is_dir():
        names = {entry.name for entry in path.iterdir()}
        if names & {"dataset_info.json", "dataset_dict.json"}:
            return "huggingface"
        for ending, source in _IN_FOLDER.items():
            if any(name.endswith(ending) for name in names):
                return source
        return "folder"
    if not path.exists() and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", first) and "." not in first.rpartition("/")[2]:
        return "huggingface"
    raise DataError(
        f"{first} is neither a CSV, JSONL, Parquet or tar file, nor a folder, nor a data set's name: check the path."
    )


def metadata_table(folder: Path) -> Path | None:
    """The table that a folder of pictures may hold under Hugging Face's usual name."""
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def _glob(path: Path) -> Iterator[Path]:
    if any(letter in path.name for letter in "*?["):
        yield from path.parent.glob(path.name)


def _numbered(pattern: str) -> Iterator[str]:
    """``a-{00..12}.tar`` as thirteen names; any other name as itself."""
    match = _RANGE.search(pattern)
    if not match:
        yield pattern
        return
    first, last = int(match[1]), int(match[2])
    if last < first or last - first > _MAX_RANGE:
        raise DataError(f"{pattern} counts from {match[1]} to {match[2]}: count upwards, by at most {_MAX_RANGE:,}.")
    for number in range(first, last + 1):
        yield from _numbered(f"{pattern[: match.start()]}{number:0{len(match[1])}}{pattern[match.end() :]}")


_ENDINGS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".tar": "webdataset",
    ".tar.gz": "webdataset",
    ".tgz": "webdataset",
}
_IN_FOLDER = {".parquet": "parquet", ".tar": "webdataset", ".tar.gz": "webdataset", ".tgz": "webdataset"}
_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
