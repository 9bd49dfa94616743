"""Where training data lies and how it is read, as one typed setting.

It knows nothing about how a kind of source is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, Literal

from open_autoglm.errors import SettingError
from open_autoglm.runtime.images import ImageLimits


@dataclass(frozen=True)
class Join:
    """Another table (CSV, JSONL or Parquet) whose columns are added to each row with the same value in ``by``."""

    path: str
    by: str


@dataclass(frozen=True)
class DataSettings:
    """A source of pictures and captions.

    - ``path``: a file, a folder, several of them, a pattern (``shard-{000..009}.tar``, ``*.parquet``), or the name of
      a Hugging Face data set. ``source``: a key of ``SOURCES``; None guesses it. ``split``: of a Hugging Face data set.
    - ``root``: the folder where relative picture paths start; None for the table's own folder.
    - ``picture``, ``captions``, ``label``, ``group``: names of columns; None or empty guesses the first three by usual
      names. ``group`` holds an example's id, whose rows never straddle a split; ``group_pattern`` is a regular
      expression for the part of it that counts.
    - ``answer``: the column of a question's answer; the one caption of a row is its question then. ``evidence``: the
      column of what that answer rests on, a list, or JSON, of boxes ``[x0, y0, x1, y1]``, fractions 0..1 of the
      picture; ``[]`` where it rests on there being nothing, an empty cell where nobody said.
    - ``classes``: class names by number, as a list or a text file with a name a line.
    - ``templates``: captions made of a row's cells: ``{}`` is the class, ``{name}`` a column. None makes
      ``a photo of a {}`` where there is a class and no caption.
    - ``join``: a second table.
    - ``positives``: what makes two pictures match each other's texts: the same ``class``, a shared ``caption``, or
      only the same ``picture``. None: captions where the data has them, classes otherwise.
    - ``max_bad_share``: above this share of rows that cannot be used, loading stops.
    - ``max_characters``: longer captions are cut at a word.
    - ``check``: ``decode`` every picture once (a few milliseconds each), read its ``header``, or only look whether
      its file exists (``none``; equal pictures are then known by their paths alone).

    Raises SettingError for a value out of range.
    """

    path: str | tuple[str, ...]
    source: str | None = None
    split: str | None = None
    root: str | None = None
    picture: str | None = None
    captions: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    group_pattern: str | None = None
    answer: str | None = None
    evidence: str | None = None
    classes: str | tuple[str, ...] | None = None
    templates: tuple[str, ...] | None = None
    join: Join | None = None
    positives: Literal["class", "caption", "picture"] | None = None
    max_bad_share: float = 0.05
    max_characters: int = 1000
    check: Literal["decode", "header", "none"] = "decode"
    limits: ImageLimits = field(default_factory=ImageLimits)

    def __post_init__(self) -> None:
        for name in ("path", "captions", "classes", "templates"):  # YAML has lists, not tuples
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        if not self.paths or not all(isinstance(path, str) and path for path in self.paths):
            raise SettingError("The data's path is empty: name a file, a folder or a Hugging Face data set.")
        for name in ("captions", "templates"):
            _no_string(name, getattr(self, name))
        if not 0 <= self.max_bad_share <= 1:
            raise SettingError(f"max_bad_share is {self.max_bad_share}: give a share from 0 to 1.")
        if self.max_characters < 1:
            raise SettingError(f"max_characters is {self.max_characters}: it must be at least 1.")
        _one_of("check", self.check, ("decode", "header", "none"))
        _one_of("positives", self.positives, ("class", "caption", "picture", None))
        if self.group_pattern is not None:
            _check_pattern(self.group_pattern)
        for template in self.templates or ():
            fields_of(template)

    @property
    def paths(self) -> tuple[str, ...]:
        """``path`` as a tuple, as given."""
        return (self.path,) if isinstance(self.path, str) else self.path


def fields_of(template: str) -> tuple[str, ...]:
    """The columns that a template names; ``""`` is the class. Raises SettingError where it is no template."""
    try:
        parts = list(Formatter().parse(template))
    except (ValueError, TypeError) as error:
        raise SettingError(f"The template {template!r} cannot be read ({error}): write it like 'a {{}}'.") from error
    names = tuple(name for _, name, _, _ in parts if name is not None)
    # Only plain names: "{a.b}" and "{a[0]}" would reach into Python objects, "{0}" and a second "{}" are places.
    plain = not any(re.search(r"[.\[\]]|^\d+$", name) for name in names) and names.count("") <= 1
    if not names or not plain or any(spec or conversion for *_, spec, conversion in parts):
        raise SettingError(f"The template {template!r} needs {{}} for the class, once, or {{column}}, and no format.")
    return names


def _one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    if value not in allowed:
        raise SettingError(f"{name} is {value!r}: it must be one of {', '.join(str(one) for one in allowed)}.")


def _no_string(name: str, value: Any) -> None:
    if isinstance(value, str):  # it would be taken apart into letters
        raise SettingError(f"{name} is {value!r}: give a list, [{value}].")


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise SettingError(f"group_pattern {pattern!r} is no regular expression ({error}).") from error
