"""Reads CSV and TSV tables whose first line names the columns.

It knows nothing of what the columns mean.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from open_autoglm.errors import DataError

from .settings import DataSettings
from .tables import Row, Table, expand

_MAX_CELL = 16 * 2**20  # characters; csv's own limit of 131,072 would stop at one absurdly long caption
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def read_csv(settings: DataSettings) -> Table:
    """Rows of ``.csv`` or ``.tsv`` files in UTF-8; commas, semicolons, tabs or bars between the cells."""
    files = expand(settings, (".csv", ".tsv"))
    columns = dict.fromkeys(name for file in files for name in _header(file)[0])
    return Table(tuple(columns), (row for file in files for row in _rows(file, settings.root)))


def _header(path: Path) -> tuple[list[str], str]:
    """The columns' names and the letter between cells."""
    try:
        with path.open("rb") as raw:
            start = raw.read(2)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            line = file.readline(_MAX_CELL)
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror}).") from error
    if start in _UTF16:
        raise DataError(f"{path} is written in UTF-16: save it as UTF-8.")
    separator = "\t" if path.suffix == ".tsv" else max(",;\t|", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=separator), [])]
    if not any(names):
        raise DataError(f"{path} is empty: its first line must name the columns.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{path} has two columns named {twice!r}: rename one of them.")
    return names, separator


def _rows(path: Path, root: str | None) -> Iterator[Row]:
    names, separator = _header(path)
    base = Path(root).expanduser() if root else path.parent
    # Bytes that are no UTF-8 come out as lone surrogates, so that they spoil their own row only.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, delimiter=separator, strict=True)
        line = 0
        while True:
            started = line + 1
            where = f"{path.name}, line {started}"
            before = csv.field_size_limit(_MAX_CELL)
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                if "unexpected end" in str(error):
                    raise DataError(f"{where} of {path} opens a quote that is never closed: close it.") from error
                yield Row(where, {}, base, f"it is no CSV ({error})")
                line = reader.line_num
                continue
            finally:
                csv.field_size_limit(before)
            line = reader.line_num
            if started == 1 or not cells:
                continue
            if len(cells) != len(names):
                yield Row(where, {}, base, f"it has {len(cells)} cells where the first line names {len(names)}")
            else:
                yield Row(where, dict(zip(names, cells, strict=True)), base)
