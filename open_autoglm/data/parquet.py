"""Reads Parquet tables; pictures lie in a column as bytes, or beside the table as files.

It knows nothing of what the columns mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from open_autoglm.errors import DataError, needing

from .settings import DataSettings
from .tables import Row, Table, expand

_ROWS = 256  # read together: enough to be quick, few enough to hold when every row has a picture


def read_parquet(settings: DataSettings) -> Table:
    """Rows of ``.parquet`` files. Raises MissingExtra without pyarrow, DataError for a damaged file."""
    files = expand(settings, (".parquet",))
    columns = dict.fromkeys(name for file in files for name in _open(file).schema_arrow.names)
    return Table(tuple(columns), (row for file in files for row in _rows(file, settings.root)))


def _open(path: Path) -> Any:
    with needing("Reading Parquet", "train"):
        import pyarrow.parquet
    try:
        return pyarrow.parquet.ParquetFile(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are kinds of these
        raise DataError(f"{path} cannot be read as Parquet ({_short(error)}); copy it again.") from error


def _rows(path: Path, root: str | None) -> Iterator[Row]:
    base = Path(root).expanduser() if root else path.parent
    number = 0
    try:
        for batch in _open(path).iter_batches(batch_size=_ROWS):
            for cells in batch.to_pylist():
                number += 1
                yield Row(f"{path.name}, row {number}", cells, base)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is damaged after row {number} ({_short(error)}); copy it again.") from error


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0][:200].rstrip(".")
