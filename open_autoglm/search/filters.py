"""Evaluates a ``where`` expression: SQLite parses it, on a connection that can read one view and nothing else.

It knows the view's columns and what an expression may do; it knows nothing about vectors.
"""

from __future__ import annotations

import difflib
import re
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import FilterError
from .schema import Mode, SaidPlainly, connect

COLUMNS = ("id", "path", "name", "folder", "date", "size", "width", "height")
FUNCTIONS = frozenset(
    {"abs", "coalesce", "date", "datetime", "glob", "ifnull", "instr", "julianday", "length", "like", "lower"}
    | {"ltrim", "max", "min", "nullif", "round", "rtrim", "strftime", "substr", "substring", "time", "trim"}
    | {"typeof", "unixepoch", "upper"}
)
SECONDS = 5.0
MAX_CHARACTERS = 10_000
MAX_STRING_BYTES = 1_000_000
MAX_PATTERN_BYTES = 1_000
STEPS_BETWEEN_CHECKS = 10_000
HINT = "write it as in \"width > 1000 and name like '%.png'\""

TOKEN = re.compile(
    r"""'(?:[^']|'')*' | "(?P<quoted>(?:[^"]|"")*)" | `(?:[^`]|``)*` | \[[^\]]*\]
      | (?P<refused>;|--|/\*|['"`\[]) | (?P<open>\() | (?P<close>\)) | .""",
    re.VERBOSE | re.DOTALL,
)


def matching(
    index: Path,
    database: Path,
    expression: str,
    fields: Sequence[str],
    mode: Mode = "ro",
    among: Sequence[int] | None = None,
) -> NDArray[np.int64]:
    """The ids of the pictures for which an SQL expression is true, in no order.

    ``fields`` are the metadata keys it may name beside COLUMNS; ``mode`` is how the index is open; ``among``: only
    these ids are looked at, few enough to be named. Raises FilterError where it is no such expression, names an unknown
    column or takes too long.
    """
    columns = _by_column(fields)
    _check_shape(expression, [*COLUMNS, *columns])
    with SaidPlainly(index), closing(connect(database, "frozen" if mode == "frozen" else "ro")) as connection:
        _confine(connection, columns)
        try:
            named = "" if among is None else f"id IN ({', '.join(str(int(id)) for id in among)}) AND "
            # The line break ends whatever the expression leaves open.
            rows = connection.execute(f"SELECT id FROM items WHERE {named}({expression}\n)").fetchall()  # noqa: S608
        except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_IOERR", "SQLITE_BUSY")):
                raise
            raise FilterError(_sentence(expression, error, [*COLUMNS, *columns])) from error
    return np.array(rows, np.int64).reshape(-1)


def column_name(field: str) -> str:
    """The column of a metadata key: SQLite takes no notice of the case of ASCII letters."""
    return field.encode().lower().decode()


def _by_column(fields: Sequence[str]) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for field in fields:
        columns.setdefault(column_name(field), []).append(field)
    return columns


def _check_shape(expression: str, columns: Sequence[str]) -> None:
    """Refuses what could end the brackets that the expression is put in, and double-quoted text."""
    if not isinstance(expression, str) or not expression.strip():
        raise FilterError(f"The filter is empty: {HINT}.")
    if len(expression) > MAX_CHARACTERS:
        raise FilterError(
            f"The filter has {len(expression)} characters, over the limit of {MAX_CHARACTERS}: shorten it."
        )
    depth = 0
    for token in TOKEN.finditer(expression):
        if token["refused"]:
            raise FilterError(
                f"The filter {_shown(expression)} holds {token['refused']!r}, "
                f"which has no place in one or is never closed: {HINT}."
            )
        # SQLite would take a mistyped "column" in double quotes for text and quietly find nothing.
        if token["quoted"] is not None and column_name(token["quoted"]) not in columns:
            raise FilterError(_unknown_column(token["quoted"], columns))
        depth += bool(token["open"]) - bool(token["close"])
        if depth < 0:
            break
    if depth:
        raise FilterError(f"The brackets of the filter {_shown(expression)} do not match: {HINT}.")


def _confine(connection: sqlite3.Connection, columns: dict[str, list[str]]) -> None:
    """Makes the view ``items`` and takes from the connection whatever a filter does not need."""
    user = [f'{_value(fields)} AS "{column}"' for column, fields in columns.items()]
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA query_only = OFF")  # the view is temporary; the database stays open for reading only
    shown = ", ".join([*COLUMNS, *user])
    connection.execute(f"CREATE TEMP VIEW items AS SELECT {shown} FROM main.pictures")  # noqa: S608
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_STRING_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN_BYTES)
    connection.set_authorizer(_Authorizer())
    end = time.monotonic() + SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > end, STEPS_BETWEEN_CHECKS)


def _value(fields: Sequence[str]) -> str:
    paths = ['$."' + field.replace("'", "''") + '"' for field in fields]
    values = [f"json_extract(metadata, '{path}')" for path in paths]
    return values[0] if len(values) == 1 else f"coalesce({', '.join(values)})"


class _Authorizer:
    """Permits one SELECT over the view, its columns, harmless functions, and what the view itself does."""

    def __init__(self) -> None:
        self._selects = 0

    def __call__(
        self, action: int, first: str | None, second: str | None, database: str | None, source: str | None
    ) -> int:
        if action == sqlite3.SQLITE_SELECT:
            self._selects += source is None
            return sqlite3.SQLITE_OK if self._selects <= 1 else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_READ:
            # No column at all: SQLite needs the rows alone.
            harmless = first == "items" or source == "items" or not second
            return sqlite3.SQLITE_OK if harmless else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION:
            known = second in FUNCTIONS or (source == "items" and second in ("json_extract", "coalesce"))
            return sqlite3.SQLITE_OK if known else sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_DENY


def _sentence(expression: str, error: Exception, columns: Sequence[str]) -> str:
    """What SQLite's complaint means to the user."""
    text = str(error)
    if unknown := re.fullmatch(r"no such column: (.+)", text, re.DOTALL):
        return _unknown_column(unknown[1], columns)
    if function := re.fullmatch(r"(?:not authorized to use|no such) function: (.+)", text, re.DOTALL):
        return f"A filter cannot use the function {_shown(function[1])}, only {', '.join(sorted(FUNCTIONS))}."
    if "not authorized" in text or "prohibited" in text:
        return f"The filter {_shown(expression)} does more than look at columns: {HINT}."
    if text == "interrupted":
        return f"The filter {_shown(expression)} takes longer than {SECONDS:g} seconds: make it simpler."
    return f"The filter {_shown(expression)} cannot be understood ({text}): {HINT}."


def _unknown_column(name: str, columns: Sequence[str]) -> str:
    near = difflib.get_close_matches(column_name(name), columns, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    return (
        f"The filter names the column {_shown(name)}, which there is not.{guess} The columns are "
        f"{', '.join(columns)}; text goes into single quotes."
    )


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
