"""Reads facts about pictures, to filter by, from a CSV table.

It knows the table; it knows nothing of the pictures or the index.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import SettingError

Fact = str | int | float
COLUMN = "path"
# "007" and "nan" are names; an int of more digits than SQLite's 64 bits hold is one too.
NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})(?P<fraction>(\.[0-9]+)?([eE][+-]?[0-9]+)?)")


def read_metadata(table: Path) -> dict[str, dict[str, Fact]]:
    """The facts of each picture by the column ``path``; numbers become numbers, empty cells are left out.

    Raises SettingError where the file is no such table.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            check_columns(table, reader.fieldnames or ())
            facts: dict[str, dict[str, Fact]] = {}
            for row in reader:
                where = f"{table}, line {reader.line_num}"
                cells = read_row(row, where)
                picture = row[COLUMN]
                if not picture.strip():
                    raise SettingError(f"{where}, has an empty '{COLUMN}': name the picture or remove the line.")
                if picture in facts:
                    raise SettingError(f"{where}, names {picture} a second time: give each picture one line.")
                facts[picture] = cells
            return facts
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SettingError(f"{table} cannot be read as a CSV table in UTF-8 ({error}).") from error


def check_columns(table: Path, columns: Sequence[str]) -> None:
    """Raises SettingError unless each column has a name of its own and one is ``path``."""
    if COLUMN not in columns:
        raise SettingError(f"{table} has no column '{COLUMN}': its first line must name the columns.")
    for column, count in Counter(columns).items():
        if count > 1:
            raise SettingError(f"{table} has {count} columns named '{column}': give each a name of its own.")


def read_row(row: dict[str, str], where: str) -> dict[str, Fact]:
    """The facts of one row."""
    # So csv.DictReader marks cells beyond the columns, and missing ones.
    if None in row or None in row.values():
        raise SettingError(f"{where}, has another number of cells than the first line.")
    return {name: read_cell(cell) for name, cell in row.items() if name != COLUMN and cell}


def read_cell(cell: str) -> Fact:
    """A number where the cell is one in plain digits, the text otherwise."""
    number = NUMBER.fullmatch(cell)
    if not number:
        return cell
    value = float(cell) if number["fraction"] else int(cell)
    return value if math.isfinite(value) else cell
