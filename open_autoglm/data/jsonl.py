"""Reads JSON Lines: one object a line, its keys being the columns.

It knows nothing of what the columns mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from open_autoglm.errors import DataError

from .settings import DataSettings
from .tables import Row, Table, expand

_MAX_LINE = 64 * 2**20  # bytes; captions and paths need far less, and a file without line ends would fill memory


def read_jsonl(settings: DataSettings) -> Table:
    """Rows of ``.jsonl`` files in UTF-8. All rows are held, because any line may bring a new column."""
    rows = [row for file in expand(settings, (".jsonl", ".ndjson")) for row in _rows(file, settings.root)]
    return Table(tuple(dict.fromkeys(name for row in rows for name in row.cells)), rows)


def _rows(path: Path, root: str | None) -> Iterator[Row]:
    base = Path(root).expanduser() if root else path.parent
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(_MAX_LINE):
                number += 1
                where = f"{path.name}, line {number}"
                if len(line) >= _MAX_LINE:
                    raise DataError(f"{where} of {path} is longer than {_MAX_LINE:,} bytes: write one object a line.")
                if line.strip():
                    yield _row(line, where, base)
    except OSError as error:
        raise DataError(f"{path} cannot be opened ({error.strerror}).") from error


def _row(line: bytes, where: str, base: Path) -> Row:
    try:
        cells: Any = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return Row(where, {}, base, "it is no JSON in UTF-8")
    if not isinstance(cells, dict):
        return Row(where, {}, base, f"it is no object with named values ({type(cells).__name__})")
    return Row(where, cells, base)
