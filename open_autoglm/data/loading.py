"""From a source's rows to records: columns chosen, pictures checked, bad rows counted and named.

It knows nothing about one format or about training.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from open_autoglm.errors import DataError, ImageError, SettingError

from .columns import Columns, Draft, choose, interpret
from .pictures import Spool, identify
from .records import Problem, Record, Records, class_names, match, merge
from .settings import DataSettings, Join
from .tables import Row, Source, guess_source, metadata_table

_CHUNK = 512  # rows whose pictures are checked together
_NAMED = 10  # problems that an error lists

Progress = Callable[[int], None]


def load(settings: DataSettings, sources: Mapping[str, Source], progress: Progress | None = None) -> Records:
    """All usable rows. ``progress`` is told the number of rows read so far.

    Raises DataError where too many rows cannot be used, or none can; SettingError for an unknown source.
    """
    settings = _through_table(settings)
    table = _source(settings, sources)(settings)
    second = _second(settings.join, sources) if settings.join else {}
    columns = choose(table, next(iter(second.values()), {}), settings)
    names = _classes(settings)
    spool, records, problems, rows = Spool(), list[Record](), list[Problem](), 0
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for chunk in _chunks(table.rows):
            drafts = [
                interpret(_with(row, settings.join, second), columns, table.own, names, settings) for row in chunk
            ]
            checked = pool.map(lambda draft: _check(draft, settings), drafts)
            for draft, (key, problem) in zip(drafts, checked, strict=True):
                if problem:
                    problems.append(Problem(draft.where, problem))
                else:
                    problems += [Problem(draft.where, note, skipped=False) for note in draft.notes]
                    records.append(_record(draft, key, spool))
            rows += len(chunk)
            if progress:
                progress(rows)
    _hold_to_share(problems, rows, settings)
    return _gather(
        merge(records),
        columns,
        names,
        settings,
        Records((), np.zeros(0, np.int64), (), rows=rows, problems=tuple(problems), spool=spool),
    )


def _gather(
    records: list[Record], columns: Columns, names: tuple[str, ...], settings: DataSettings, rest: Records
) -> Records:
    classes = class_names(records, names)
    number = {name: index for index, name in enumerate(classes)}
    # Captions from columns tell pictures of one class apart; captions from its name alone cannot.
    columns = columns if classes else replace(columns, label=None)
    positives = settings.positives or ("caption" if columns.captions else "class")
    return replace(
        rest,
        records=tuple(records),
        labels=match(records, positives, classes),
        classes=classes,
        class_ids=np.array([number.get(record.label or "", -1) for record in records], np.int64),
        source=f"{', '.join(settings.paths)}: {columns}",
    )


def _through_table(settings: DataSettings) -> DataSettings:
    """A folder with a metadata table is read through it, unless the user says otherwise."""
    if settings.source is None and len(settings.paths) == 1:
        folder = Path(settings.paths[0]).expanduser()
        if folder.is_dir() and (table := metadata_table(folder)):
            return replace(settings, path=str(table))
    return settings


def _source(settings: DataSettings, sources: Mapping[str, Source]) -> Source:
    name = settings.source or guess_source(settings)
    if name not in sources:
        raise SettingError(f"source is {name!r}: it must be one of {', '.join(sources)}.")
    return sources[name]


def _second(join: Join, sources: Mapping[str, Source]) -> dict[str, dict[str, Any]]:
    """The second table's rows by the value they are joined on."""
    table = _source(settings := DataSettings(join.path), sources)(settings)
    if join.by not in table.columns:
        raise DataError(f"{join.path} has no column {join.by!r}; its columns are {', '.join(table.columns)}.")
    found: dict[str, dict[str, Any]] = {}
    for row in table.rows:
        value = str(row.cells.get(join.by))
        if row.problem or value in found:
            raise DataError(f"{row.where} of {join.path} {row.problem or f'repeats {join.by} {value}'}: repair it.")
        found[value] = {name: row.cells.get(name) for name in table.columns}
    return found


def _with(row: Row, join: Join | None, second: Mapping[str, dict[str, Any]]) -> Row:
    """The row with the second table's cells; its own win."""
    if join is None or row.problem:
        return row
    value = row.cells.get(join.by)
    if (extra := second.get(str(value))) is None:
        return replace(row, problem=f"no row of {Path(join.path).name} has {join.by} {value!r}")
    return replace(row, cells={**extra, **row.cells})


def _classes(settings: DataSettings) -> tuple[str, ...]:
    """The class names by number, from the settings or from a text file."""
    if not isinstance(settings.classes, str):
        names = settings.classes or ()
    else:
        try:
            lines = Path(settings.classes).expanduser().read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise DataError(
                f"The list of classes {settings.classes} cannot be read as UTF-8 text ({error})."
            ) from error
        names = tuple(" ".join(line.split()) for line in lines if line.strip())
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"The list of classes names {twice!r} twice: name each once.")
    return names


def _check(draft: Draft, settings: DataSettings) -> tuple[str, str]:
    """The picture's key, or why the row is skipped."""
    if draft.problem:
        return "", draft.problem
    try:
        return identify(draft.picture, settings.check, settings.limits), ""
    except ImageError as error:
        return "", str(error).rstrip(".")


def _record(draft: Draft, key: str, spool: Spool) -> Record:
    return Record(
        picture=spool.keep(draft.picture, key),
        captions=draft.captions,
        label=draft.label,
        key=key,
        group=draft.group,
        where=draft.where,
        metadata=draft.metadata or {},
        answers=draft.answers,
        evidence=draft.evidence,
    )


def _hold_to_share(problems: list[Problem], rows: int, settings: DataSettings) -> None:
    """Raises DataError where more rows are lost than the settings allow."""
    where = ", ".join(settings.paths)
    skipped = [problem for problem in problems if problem.skipped]
    if rows == 0:
        raise DataError(f"{where} holds no row: check the data's path.")
    if len(skipped) < rows and len(skipped) <= settings.max_bad_share * rows:
        return
    named = "".join(f"\n  {problem}" for problem in skipped[:_NAMED])
    more = f"\n  and {len(skipped) - _NAMED:,} more" if len(skipped) > _NAMED else ""
    raise DataError(
        f"{len(skipped):,} of {rows:,} rows of {where} cannot be used ({len(skipped) / rows:.1%}, and "
        f"{settings.max_bad_share:.1%} may be): repair them or raise max_bad_share.{named}{more}"
    )


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk
