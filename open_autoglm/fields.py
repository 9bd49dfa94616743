"""Reads single values out of JSON objects: an object, a text, a number of a range; a ValueError says what is amiss.

It knows nothing about what the values are for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MOST = 2**31 - 1  # of any size or count
REQUIRED: Any = object()


def table(fields: Mapping[str, Any], key: str, default: Any = REQUIRED) -> dict[str, Any]:
    """An object."""
    value = fields.get(key, default)
    if not isinstance(value, dict):
        raise ValueError(f"{key} is {shown(value)} instead of an object")
    return value


def texts(fields: Mapping[str, Any], key: str) -> dict[str, str]:
    """An object of strings."""
    entries = table(fields, key)
    return {name: text(entries, name) for name in entries}


def text(fields: Mapping[str, Any], key: str, default: Any = REQUIRED) -> str:
    """A string that is not empty."""
    value = fields.get(key, default)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key} is {shown(value)} instead of text")
    return value


def truth(fields: Mapping[str, Any], key: str, default: Any = REQUIRED) -> bool:
    """True or false."""
    value = fields.get(key, default)
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {shown(value)} instead of true or false")
    return value


def whole(fields: Mapping[str, Any], key: str, least: int = 1, most: int = MOST) -> int:
    """A whole number of a range."""
    value = fields.get(key, REQUIRED)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{key} is {shown(value)} instead of a whole number from {least}")
    return value


def number(fields: Mapping[str, Any], key: str) -> float:
    """A finite number."""
    value = fields.get(key, REQUIRED)
    if type(value) not in (int, float) or not -1e300 < value < 1e300 or not math.isfinite(value):
        raise ValueError(f"{key} is {shown(value)} instead of a number")
    return float(value)


def one_of(value: str, known: set[str], what: str) -> None:
    """A value of a few."""
    if value not in known:
        raise ValueError(f"{what} is {value!r} instead of one of {', '.join(sorted(known))}")


def known_only(fields: Mapping[str, Any], known: set[str], what: str) -> None:
    """No fields beside the known ones."""
    for name in fields:
        if name not in known:
            raise ValueError(f"{what} has a field {name!r} that this program does not know")


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    return "missing" if value is REQUIRED else repr(value)[:60]
