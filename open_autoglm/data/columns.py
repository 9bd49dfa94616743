"""Which column is the picture, the caption and the class, and what one row's cells come to.

It knows the usual names of columns; it knows nothing about where the rows come from.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from open_autoglm.errors import DataError

from .captions import DEFAULT_TEMPLATES, clean, from_templates, is_empty, split
from .pictures import Picture, Span
from .records import Boxes
from .settings import DataSettings, fields_of
from .tables import Row, Table, Unusable

_PICTURE = (
    *("image", "picture", "photo", "img", "image_path", "picture_path", "path", "file", "filename", "file_name"),
    *("filepath", "file_path", "image_file"),
)
_CAPTION = (
    "caption",
    "captions",
    "question",
    "sentence",
    "sentences",
    "text",
    "texts",
    "comment",
    "title",
    "description",
)
_LABEL = ("label", "class", "category", "class_name", "cls")
_ADDRESS = ("url", "image_url", "picture_url", "uri")
_WEB = re.compile(r"(https?|ftp|s3|gs)://", re.IGNORECASE)
_KEPT = (str, int, float, bool)  # what goes into a record's metadata


@dataclass(frozen=True)
class Columns:
    """The columns that are read; ``captions`` or ``label`` may be missing, not both."""

    picture: str
    captions: tuple[str, ...]
    label: str | None
    group: str | None
    templates: tuple[str, ...]
    answer: str | None = None
    evidence: str | None = None

    def __str__(self) -> str:
        texts = [f"captions from {', '.join(self.captions)}"] if self.captions else []
        texts += [f"captions like '{self.templates[0]}'"] if self.templates else []
        texts += [f"classes from {self.label}"] if self.label else []
        texts += [f"answers from {self.answer}"] if self.answer else []
        texts += [f"their evidence from {self.evidence}"] if self.evidence else []
        return f"pictures from {self.picture}, {', '.join(texts)}"


@dataclass(frozen=True)
class Draft:
    """A row that was understood, its picture not yet looked at; or ``problem``, why it is skipped."""

    where: str
    picture: Picture = b""
    captions: tuple[str, ...] = ()
    label: str | None = None
    group: str | None = None
    answers: tuple[str, ...] = ()
    evidence: tuple[Boxes | None, ...] = ()
    metadata: Mapping[str, Any] | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()


def choose(table: Table, joined: Iterable[str], settings: DataSettings) -> Columns:
    """The columns that the settings name, and for the rest the usual names. Raises DataError naming what there is."""
    columns = tuple(dict.fromkeys((*table.columns, *joined)))
    wanted = [settings.picture, settings.label, settings.group, settings.answer, settings.evidence, *settings.captions]
    wanted += [name for template in settings.templates or () for name in fields_of(template)]
    for name in wanted:
        if name and name not in columns:
            raise DataError(f"The data has no column {name!r}; its columns are {', '.join(columns)}.")
    picture = settings.picture or _first(_PICTURE, columns)
    if picture is None:
        if address := _first(_ADDRESS, columns):
            raise DataError(
                f"The data names its pictures by web address (column {address!r}): download them, and name the files."
            )
        raise DataError(f"No column of {', '.join(columns)} looks like the picture: set picture to its name.")
    taken = {picture, settings.label, settings.group, settings.answer, settings.evidence}
    captions = settings.captions
    if not captions and settings.templates is None:
        captions = _captions([column for column in columns if column not in taken])
    label = settings.label or _first(_LABEL, [column for column in columns if column not in {*captions, *taken}])
    templates = settings.templates if settings.templates is not None else () if captions else DEFAULT_TEMPLATES
    if not captions and label is None and any("" in fields_of(template) for template in templates):
        raise DataError(
            f"No column of {', '.join(columns)} looks like a caption or a class: set captions or label to its name."
        )
    if settings.answer and len(captions) != 1:
        found = ", ".join(captions) or "none was found"
        raise DataError(f"Answers need one column of questions ({found}): set captions to a list of its name.")
    if settings.evidence and not settings.answer:
        raise DataError("Evidence is what answers rest on: set answer to the name of their column, too.")
    return Columns(picture, captions, label, settings.group, templates, settings.answer, settings.evidence)


def interpret(row: Row, columns: Columns, own: bool, names: tuple[str, ...], settings: DataSettings) -> Draft:
    """A row's picture, captions and class. ``names``: the classes by number."""
    if row.problem:
        return Draft(row.where, problem=row.problem)
    try:
        picture = picture_of(row.cells.get(columns.picture), row.root, own)
        label = _label(row.cells.get(columns.label) if columns.label else None, names, bool(settings.label))
        group = _group(row.cells.get(columns.group), settings.group_pattern) if columns.group else None
        captions, notes = _texts(row.cells, columns, label, settings.max_characters)
        answers = _answers(row.cells, columns.answer, len(captions))
        evidence = (evidence_of(row.cells.get(columns.evidence)),) if columns.evidence else ()
    except Unusable as error:
        return Draft(row.where, problem=str(error))
    used = {columns.picture, columns.answer, columns.evidence, *columns.captions}
    metadata = {name: cell for name, cell in row.cells.items() if name not in used and isinstance(cell, _KEPT)}
    return Draft(row.where, picture, captions, label, group, answers, evidence, metadata, notes=notes)


def _first(names: Iterable[str], columns: Iterable[str]) -> str | None:
    lowered = {column.strip().lower(): column for column in reversed(list(columns))}
    return next((lowered[name] for name in names if name in lowered), None)


def _captions(columns: list[str]) -> tuple[str, ...]:
    """The first usual name and its numbered kin (``caption_0``, ``caption_1``)."""
    for name in _CAPTION:
        if found := [column for column in columns if re.fullmatch(rf"{name}[ _-]?\d*", column.strip().lower())]:
            return tuple(found)
    return ()


def picture_of(cell: Any, root: Path | None, own: bool) -> Picture:
    """The picture that a cell holds or names. Raises Unusable where it is none."""
    if isinstance(cell, dict) and {"bytes", "path"} & set(cell):  # how Hugging Face stores pictures in Parquet
        cell = cell.get("bytes") if cell.get("bytes") is not None else cell.get("path")
    if isinstance(cell, bytes | Span | Path):
        return cell
    if is_empty(cell):
        raise Unusable("it names no picture")
    if not isinstance(cell, str):
        raise Unusable(f"its picture is neither bytes nor a path ({type(cell).__name__})")
    if _WEB.match(cell):
        raise Unusable(f"its picture is a web address ({cell[:80]}), download it first")
    if "\0" in cell:
        raise Unusable("its picture's path holds a zero byte")
    if Path(cell).is_absolute():
        if own:
            return Path(cell)
        raise Unusable(f"{cell[:200]} is a path outside the data set")
    if root is None or os.path.normpath(cell).startswith(".."):
        raise Unusable(f"{cell[:200]} lies outside the data's folder, give such files an absolute path")
    return root / cell


def _label(cell: Any, names: tuple[str, ...], asked: bool) -> str | None:
    if is_empty(cell) or (isinstance(cell, bool) and not asked):  # "label: true" answers a question, mostly
        return None
    if not isinstance(cell, str | int):
        raise Unusable(f"the class is neither a name nor a number ({type(cell).__name__})")
    text = " ".join(str(cell).split())
    if not names:
        return text
    if text in names:
        return text
    if text.isdecimal() and int(text) < len(names):
        return names[int(text)]
    raise Unusable(f"the class {text[:80]!r} is not in the list of classes")


def _group(cell: Any, pattern: str | None) -> str | None:
    if is_empty(cell):
        return None
    found = re.search(pattern, str(cell)) if pattern else None
    return found.group(found.re.groups and 1) if found else str(cell)


def _answers(cells: Mapping[str, Any], column: str | None, questions: int) -> tuple[str, ...]:
    """The answer to a row's question; true and false are spelled like that, as words."""
    if column is None:
        return ()
    cell = cells.get(column)
    if is_empty(cell) or not isinstance(cell, str | int | bool):
        raise Unusable("it has no answer")
    if questions != 1:
        raise Unusable("it has several questions and one answer")
    return (" ".join(str(cell).split()).casefold() if isinstance(cell, bool) else " ".join(str(cell).split()),)


def evidence_of(cell: Any) -> Boxes | None:
    """The boxes of a cell, fractions; None where nobody said. Raises Unusable where they are none."""
    if isinstance(cell, str) and cell.strip():
        try:
            cell = json.loads(cell)
        except ValueError:
            raise Unusable(f"its evidence {cell[:80]!r} is no JSON") from None
    if cell is None or isinstance(cell, str):
        return None
    try:
        boxes = np.array([list(box) for box in cell], np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        boxes = np.full((1, 4), np.nan)
    inside = (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, :2] < boxes[:, 2:]).all()
    if not inside:
        raise Unusable("its evidence is no list of boxes x0, y0, x1, y1 in fractions 0..1 of the picture")
    return tuple(map(tuple, boxes.tolist()))


def _texts(
    cells: Mapping[str, Any], columns: Columns, label: str | None, most: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The captions, each once, and notes on those that were cut or left out."""
    given = [cell for column in columns.captions for cell in split(cells.get(column)) if not is_empty(cell)]
    given += from_templates(columns.templates, label, cells)
    captions: dict[str, None] = {}
    notes = []
    for cell in given:
        try:
            text, cut = clean(cell, most)
        except Unusable as error:
            notes.append(str(error))
            continue
        captions[text] = None
        if cut:
            notes.append(f"a caption of {len(cell):,} characters was cut to {len(text):,}")
    if captions:
        return tuple(captions), tuple(notes)
    if notes:
        raise Unusable(notes[0])
    raise Unusable("the caption is empty" if columns.captions else "it has no class")
