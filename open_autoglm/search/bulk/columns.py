"""What filters look at, of all pictures of a dataset, as the table that an index has.

It knows the filters' columns; it knows nothing about vectors or searching.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..filters import matching
from ..rows import FileState, path_columns, state_columns
from ..schema import SaidPlainly
from .dataset import Dataset

TABLE = (
    "CREATE TABLE pictures (id INTEGER PRIMARY KEY, path TEXT, folder TEXT, name TEXT, size INTEGER, date TEXT, "
    "width INTEGER, height INTEGER, metadata TEXT)"
)


class Columns:
    """A temporary file beside a dataset, so that filters mean the same there as in an index."""

    def __init__(self, dataset: Dataset) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="open-autoglm-")
        self._file = Path(self._folder.name) / "columns.sqlite"
        self._fields: set[str] = set()
        with SaidPlainly(self._file), closing(sqlite3.connect(self._file)) as database, database:
            database.execute(TABLE)
            database.executemany("INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._rows(dataset))

    def matching(self, where: str) -> NDArray[np.int64]:
        """The ids of the pictures for which an expression is true. FilterError as in an index."""
        return matching(self._file, self._file, where, sorted(self._fields))

    def close(self) -> None:
        """Removes the file."""
        self._folder.cleanup()

    def _rows(self, dataset: Dataset) -> Iterator[tuple[Any, ...]]:
        for row in dataset.rows():
            self._fields |= json.loads(row.metadata).keys()
            size, _, date = state_columns(FileState(row.key, row.size, row.mtime_ns), row.taken)
            yield row.id, *path_columns(row.key)[1:], size, date, row.width, row.height, row.metadata
