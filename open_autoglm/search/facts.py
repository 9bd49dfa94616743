"""Checks the metadata a user gives and finds the entry of a file.

It knows paths and JSON scalars; it knows nothing about where metadata is stored.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path

from ..errors import SettingError
from .filters import COLUMNS, column_name
from .records import Json, shown_path

MOST_FIELDS = 200
UNFIT = re.compile(r'["\\\x00-\x1f]')  # not to be had in a JSON path of SQLite


class Facts:
    """Metadata by path: absolute, relative to the indexed folder or the current one, or a bare file name.

    Raises SettingError where a key or value cannot be kept.
    """

    def __init__(self, given: Mapping[str, Mapping[str, Json]] | None) -> None:
        if not isinstance(given, Mapping | None) or not all(isinstance(one, Mapping) for one in (given or {}).values()):
            raise SettingError("The metadata must be a dictionary of paths, each with a dictionary of its columns.")
        self._given = {os.fspath(path): check(path, metadata) for path, metadata in (given or {}).items()}
        fields = {column_name(name) for metadata in self._given.values() for name in metadata}
        if len(fields) > MOST_FIELDS:
            raise SettingError(
                f"The metadata has {len(fields)} different keys, over the limit of {MOST_FIELDS}: use fewer."
            )
        self._names: dict[str, str] = {}
        for path in self._given:
            self._names[os.path.normpath(Path(path).absolute())] = path
            self._names.setdefault(os.path.normpath(path), path)
        self._unused = set(self._given)

    def of(self, path: str, folder: str | None) -> Mapping[str, Json] | None:
        """The metadata given for the file at an absolute path, found in ``folder`` or else by name, or None."""
        short = os.path.relpath(path, folder) if folder else Path(path).name
        name = self._names.get(path, self._names.get(short))
        if name is None:
            return None
        self._unused.discard(name)
        return self._given[name]

    def unused(self) -> list[str]:
        """The paths given that no file had."""
        return sorted(self._unused)


def check(path: str, metadata: Mapping[str, Json]) -> dict[str, Json]:
    """The metadata of one file as it is stored."""
    checked: dict[str, Json] = {}
    for name, value in metadata.items():
        where = f"The metadata of {shown_path(path)}"
        if not isinstance(name, str) or not name or UNFIT.search(name) or not encodable(name):
            raise SettingError(
                f"{where} has the key {name!r}: use text without double quotes, backslashes or control characters."
            )
        if column_name(name) in COLUMNS:
            raise SettingError(f"{where} has the key {name!r}, which every picture has already: choose another.")
        if not (value is None or isinstance(value, str | int | float)):
            raise SettingError(
                f"{where} has a {type(value).__name__} as {name!r}: use text, numbers, true, false or null."
            )
        if (isinstance(value, float) and not math.isfinite(value)) or (isinstance(value, str) and not encodable(value)):
            raise SettingError(f"{where} has {value!r} as {name!r}, which JSON cannot hold: leave it out.")
        checked[name] = value
    return checked


def encodable(text: str) -> bool:
    """Whether a text is free of lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
