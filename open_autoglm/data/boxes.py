"""Pictures with boxes around the things in them, from a table of any source: what a detector learns from.

It knows tables and boxes; it knows nothing about detectors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from open_autoglm.errors import DataError, ImageError, SettingError
from open_autoglm.runtime import images
from open_autoglm.runtime.images import ImageLimits
from open_autoglm.runtime.proposals import check_boxes

from .columns import picture_of
from .pictures import Picture, Spool, identify, source_of
from .records import Problem
from .settings import DataSettings
from .tables import Row, Source, Unusable, guess_source

THING = "thing"
"""The class of a box that has none."""


@dataclass(frozen=True)
class BoxSettings:
    """A table of pictures and their boxes.

    - ``path``, ``source``, ``root``: as in DataSettings. ``picture`` and ``boxes``: names of columns; the boxes are a
      list, or JSON, of ``[category, x0, y0, x1, y1]`` or ``[x0, y0, x1, y1]`` in pixels, empty where there are none.
    - ``max_bad_share``: above this share of rows that cannot be used, loading stops.
    """

    path: str | tuple[str, ...]
    source: str | None = None
    root: str | None = None
    picture: str = "image"
    boxes: str = "boxes"
    max_bad_share: float = 0.05
    limits: ImageLimits = field(default_factory=ImageLimits)

    def table(self) -> DataSettings:
        """What a source reads; raises SettingError for a value out of range."""
        return DataSettings(self.path, self.source, root=self.root, max_bad_share=self.max_bad_share)


@dataclass(frozen=True, eq=False)
class BoxedPicture:
    """A picture, not decoded; ``boxes`` float32 [k, 4], fractions x0 y0 x1 y1; ``categories``, a name each."""

    picture: Picture = field(repr=False)
    boxes: np.ndarray
    categories: tuple[str, ...]
    key: str
    where: str


@dataclass(frozen=True, eq=False)
class BoxedPictures:
    """All usable rows in the order of the table, and what was skipped."""

    pictures: tuple[BoxedPicture, ...]
    problems: tuple[Problem, ...]
    limits: ImageLimits
    spool: Spool = field(repr=False)  # held, because its file lives as long as it does

    @property
    def classes(self) -> tuple[str, ...]:
        """The categories that occur, by the alphabet."""
        return tuple(sorted({name for one in self.pictures for name in one.categories}))

    @property
    def fingerprint(self) -> str:
        """12 hexadecimal digits, equal for equal pictures and boxes in the same order."""
        state = blake2b(digest_size=6)
        for one in self.pictures:
            state.update(json.dumps([one.key, one.boxes.tolist(), one.categories]).encode("utf-8"))
        return state.hexdigest()

    def summary(self) -> str:
        """What was read, in words, for the start of a run."""
        boxes = sum(len(one.boxes) for one in self.pictures)
        lines = [f"{len(self.pictures):,} pictures, {boxes:,} boxes, {len(self.classes):,} classes"]
        lines += [f"  skipped: {problem}" for problem in self.problems[:5]]
        lines += [f"  skipped: {len(self.problems) - 5:,} more"] if len(self.problems) > 5 else []
        return "\n".join(lines)

    def pixels(self, number: int) -> np.ndarray:
        """One picture, decoded: uint8 [h, w, 3]. Raises ImageError."""
        return images.decode(source_of(self.pictures[number].picture, self.limits), self.limits)


def load_boxes(settings: BoxSettings, sources: Mapping[str, Source]) -> BoxedPictures:
    """Reads the table. DataError where a column is missing, too many rows cannot be used, or none has a box."""
    named = settings.table()
    kind = named.source or guess_source(named)
    if kind not in sources:
        raise SettingError(f"source is {kind!r}: it must be one of {', '.join(sources)}.")
    table = sources[kind](named)
    for name in (settings.picture, settings.boxes):
        if name not in table.columns:
            raise DataError(f"The data has no column {name!r}; its columns are {', '.join(table.columns)}.")
    spool, found, problems = Spool(), list[BoxedPicture](), list[Problem]()
    for row in table.rows:
        try:
            found.append(_interpret(row, settings, table.own, spool))
        except (Unusable, ImageError, SettingError) as error:
            problems.append(Problem(row.where, str(error)))
    rows = len(found) + len(problems)
    if len(problems) > settings.max_bad_share * rows:
        raise DataError(
            f"{len(problems):,} of {rows:,} rows cannot be used, more than the {settings.max_bad_share:.0%} that "
            f"max_bad_share allows; the first is {problems[0]}"
        )
    if not any(one.categories for one in found):
        raise DataError(f"{', '.join(named.paths)} has no picture with a box: there is nothing to learn from.")
    return BoxedPictures(tuple(found), tuple(problems), settings.limits, spool)


def _interpret(row: Row, settings: BoxSettings, own: bool, spool: Spool) -> BoxedPicture:
    """A row's picture, looked at, and its boxes as fractions of it. Raises what says why it cannot be used."""
    if row.problem:
        raise Unusable(row.problem)
    picture = picture_of(row.cells.get(settings.picture), row.root, own)
    key = identify(picture, "decode", settings.limits)
    height, width = images.decode(source_of(picture, settings.limits), settings.limits).shape[:2]
    given = [_split(one) for one in _list(row.cells.get(settings.boxes))]
    boxes = check_boxes([box for _, box in given], width, height) if given else np.zeros((0, 4), np.float32)
    return BoxedPicture(spool.keep(picture, key), boxes, tuple(name for name, _ in given), key, row.where)


def _list(cell: Any) -> Sequence[Any]:
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError as error:
            raise Unusable(f"its boxes are no JSON ({error})") from error
    if not isinstance(cell, list):
        raise Unusable("its boxes are no list")
    return cell


def _split(box: Any) -> tuple[str, Any]:
    """The category and the four numbers of a box."""
    if isinstance(box, list) and len(box) == 5:
        return str(box[0]), box[1:]
    return THING, box
