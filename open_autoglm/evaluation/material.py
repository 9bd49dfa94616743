"""What an evaluation compares: each picture and text once, which belong together, and their vectors.

It knows records and the runtime's model; it knows nothing about metrics.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_autoglm.data.captions import DEFAULT_TEMPLATES, from_templates
from open_autoglm.data.pictures import source_of
from open_autoglm.data.records import Problem, Record, Records
from open_autoglm.data.settings import fields_of
from open_autoglm.errors import DataError, ImageError, SettingError, TextError
from open_autoglm.runtime.model import Model
from open_autoglm.runtime.similarity import Queries

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
_TEXTS = 256  # sentences that are embedded together; one that cannot be used costs a second try


@dataclass(frozen=True)
class Pictures:
    """``records``: the first of each picture. ``vectors`` [n, views, d]: those that are compared, the whole's first.

    ``members``: for each picture the indices, in the source, of the records that show it.
    """

    records: tuple[Record, ...]
    vectors: Floats
    members: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Texts:
    """``queries``: the texts as they are compared.

    ``pictures_of`` and ``texts_of``: the indices of what belongs to each text and picture.
    """

    texts: tuple[str, ...]
    queries: Queries
    pictures_of: tuple[Ints, ...]
    texts_of: tuple[Ints, ...]


def embed_pictures(
    model: Model,
    records: Records,
    all_views: bool,
    problems: list[Problem],
    batch_size: int = 16,
    progress: Callable[[int, int], None] | None = None,
) -> Pictures:
    """Every picture once, ``all_views`` of it or the whole alone.

    What cannot be read is added to ``problems``. DataError where none can.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(records):
        members[record.key].append(index)
    keys, kept, vectors = list(members), list[str](), list[Floats]()
    for start in range(0, len(keys), batch_size):
        pixels = []
        for key in keys[start : start + batch_size]:
            record = records[members[key][0]]
            try:
                pixels.append(model.prepare(source_of(record.picture, model.limits)))
                kept.append(key)
            except ImageError as error:
                problems.append(Problem(record.where, str(error).rstrip(".")))
        if pixels:
            found = model.embed_prepared(np.stack(pixels))
            vectors.append(found if all_views else found[:, :1].copy())
        if progress:
            progress(min(start + batch_size, len(keys)), len(keys))
    if not kept:
        raise DataError(f"None of the {len(keys):,} pictures can be read: check the data's path.")
    return Pictures(
        tuple(records[members[key][0]] for key in kept),
        np.concatenate(vectors),
        tuple(tuple(members[key]) for key in kept),
    )


def embed_captions(model: Model, records: Records, pictures: Pictures, problems: list[Problem]) -> Texts:
    """Every caption once, with the pictures it belongs to: its own, and those of the same ``Records.labels``."""
    owners: dict[str, list[int]] = defaultdict(list)
    for number, members in enumerate(pictures.members):
        for caption in dict.fromkeys(text for index in members for text in records[index].captions):
            owners[caption].append(number)
    wheres = {text: pictures.records[numbers[0]].where for text, numbers in owners.items()}
    texts, queries = embed_usable(model, wheres, problems)
    of_pictures = [set(records.labels[list(members)].tolist()) for members in pictures.members]
    of_texts = [
        {
            int(records.labels[index])
            for number in owners[text]
            for index in pictures.members[number]
            if text in records[index].captions
        }
        for text in texts
    ]
    return Texts(texts, queries, related(of_texts, of_pictures), related(of_pictures, of_texts))


def embed_usable(model: Model, wheres: dict[str, str], problems: list[Problem]) -> tuple[tuple[str, ...], Queries]:
    """The texts, keys of ``wheres``, that the model can read, as queries; the others become ``problems``."""
    texts, usable, queries = list(wheres), list[str](), [model.embed_queries([])]
    for start in range(0, len(texts), _TEXTS):
        chunk = texts[start : start + _TEXTS]
        try:
            queries.append(model.embed_queries(chunk))
            usable += chunk
        except TextError:
            for text in chunk:
                try:
                    queries.append(model.embed_queries([text]))
                    usable.append(text)
                except TextError as error:
                    problems.append(Problem(wheres[text], str(error).rstrip(".")))
    return tuple(usable), Queries.joined(queries)


def class_texts(records: Records, templates: Sequence[str], fallback: str) -> list[tuple[str, ...]]:
    """For each class the sentences it is known by.

    Made from ``templates``; without any, those that the data describes its classes with, else ``fallback``'s. Raises
    SettingError for a template that takes more than the class.
    """
    for template in templates:
        if set(fields_of(template)) != {""}:
            raise SettingError(f"The template {template!r} takes a column, and a class has only its name: use {{}}.")
    own: Sequence[tuple[str, ...]] = [()] * len(records.classes)
    if not templates and not _are_made(records) and not has_captions(records):
        own = records.class_captions()
    return [
        texts or tuple(from_templates(tuple(templates) or (fallback,), name, {}))
        for texts, name in zip(own, records.classes, strict=True)
    ]


def has_captions(records: Records) -> bool:
    """Whether captions describe pictures, rather than repeat the names of their classes."""
    shared = dict(zip(records.classes, records.class_captions(), strict=True))
    several = len({record.key for record in records}) > len({record.label for record in records})
    described = any(not set(record.captions) <= set(shared.get(record.label or "", ())) for record in records)
    return described or not (several or _are_made(records))


def _are_made(records: Records) -> bool:
    """Whether all captions are what ``open_source`` makes of classes where the data has no captions."""
    made = {name: tuple(from_templates(DEFAULT_TEMPLATES, name, {})) for name in records.classes}
    return all(record.label is not None and record.captions == made[record.label] for record in records)


def related(ones: Sequence[set[int]], others: Sequence[set[int]]) -> tuple[Ints, ...]:
    """For each of ``ones`` the indices, ascending, of those ``others`` that share a label with it."""
    found: dict[int, list[int]] = defaultdict(list)
    for number, labels in enumerate(others):
        for label in labels:
            found[label].append(number)
    having = defaultdict(lambda: np.zeros(0, np.int64)) | {
        label: np.array(numbers, np.int64) for label, numbers in found.items()
    }
    # One label is the usual case: its array is shared, as a class may have thousands of members.
    return tuple(
        having[min(labels)] if len(labels) == 1 else np.unique(np.concatenate([having[label] for label in labels]))
        for labels in ones
    )
