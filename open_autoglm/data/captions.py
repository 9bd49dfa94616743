"""Captions from cells: cleaned, cut, taken from lists, and made from templates.

It knows nothing about columns' names or pictures.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .settings import fields_of
from .tables import Unusable

DEFAULT_TEMPLATES = ("a photo of a {}",)


def split(cell: Any) -> Iterator[Any]:
    """The captions in one cell: itself, the items of a list, or those of a JSON list of strings in a CSV cell."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            items = json.loads(cell)
        except (ValueError, RecursionError):
            items = None
        if isinstance(items, list) and items and all(isinstance(item, str) for item in items):
            cell = items
    if isinstance(cell, list | tuple):
        yield from cell
    else:
        yield cell


def is_empty(cell: Any) -> bool:
    """Whether a cell holds nothing: None, NaN as other programs write it, or white space."""
    return (
        cell is None or (isinstance(cell, float) and math.isnan(cell)) or (isinstance(cell, str) and not cell.strip())
    )


def clean(cell: Any, max_characters: int) -> tuple[str, bool]:
    """The caption in one line, and whether it was cut. Raises Unusable where the cell is no text."""
    if not isinstance(cell, str):
        raise Unusable(f"the caption is no text ({type(cell).__name__})")
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in cell).split())
    if not cell.isascii() and any("\ud800" <= letter <= "\udfff" for letter in cell):
        raise Unusable("the caption is not written in UTF-8")
    if not text:
        raise Unusable("the caption is empty")
    if len(text) <= max_characters:
        return text, False
    at = text.rfind(" ", 0, max_characters + 1)
    return text[: at if at > 0 else max_characters], True


def from_templates(templates: tuple[str, ...], label: str | None, cells: Mapping[str, Any]) -> Iterator[str]:
    """Each template filled with the class and the cells; those that need an empty cell are left out."""
    for template in templates:
        values = {name: label if name == "" else cells.get(name) for name in fields_of(template)}
        if not any(is_empty(value) for value in values.values()):
            texts = {name: as_words(str(value)) for name, value in values.items()}
            yield template.format(texts.pop("", ""), **texts)


def as_words(name: str) -> str:
    """A class's name as one would write it: ``golden_apple`` and ``Golden-Apple`` in two words, T-shirt as is."""
    return re.sub(r"(?<=\w\w)-(?=\w\w)", " ", name.replace("_", " ")).strip()


def same_text(caption: str) -> str:
    """What two captions share that say the same: letter case and closing punctuation do not matter."""
    return caption.casefold().rstrip(" .!")
