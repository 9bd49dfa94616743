"""Embeds a whole source into a dataset, part by part, and goes on where it was stopped.

It knows the order of the steps; it knows nothing about who does the parts, nor how rows are stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import IndexStoreError, SettingError
from ..owner import check_space, place
from ..records import Skipped, shown_path
from .address import dataset_address
from .dataset import Dataset, DatasetFacts
from .executors import Executor, InProcess
from .sources import Source, named, read_source

if TYPE_CHECKING:
    from ...runtime.model import Model

PART_SIZE = 512  # pictures: less than a minute's work to do again, and files that Lance reads well


@dataclass(frozen=True)
class EmbedReport:
    """What there is now: ``pictures`` with vectors, of which this run embedded ``embedded``, and what was skipped."""

    address: str
    pictures: int
    embedded: int
    parts: int
    skipped: tuple[Skipped, ...]


def embed(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    model: Model,
    *,
    column: str | None = None,
    executor: Executor | None = None,
    part_size: int = PART_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> EmbedReport:
    """Fills the dataset at ``out`` with the vectors of a folder's pictures, a Parquet table's or tar shards'.

    Each part of ``part_size`` pictures is stored whole or not at all: killed at any moment, the same call goes on
    and comes to the same rows. What cannot be used has a row with the reason instead of vectors. ``executor`` does the
    parts, by default this process. ``progress`` takes the pictures done and their number.

    Raises SettingError for a source that is missing, empty or cannot be understood, or a cluster that fails,
    IndexStoreError for a dataset that cannot be written or is of another source, SpaceMismatch for one of another
    model, MissingExtra without Lance.
    """
    given = [source] if isinstance(source, str | os.PathLike) else list(source)
    if part_size < 1:
        raise SettingError(f"A part must have at least 1 picture, not {part_size}.")
    read = read_source(given, part_size, column)
    dataset = _opened(dataset_address(out), given, read, model, part_size)
    finished = dataset.finished()
    before = done = sum(len(part) for part in read.parts if part.number in finished)
    report = progress or (lambda done, total: None)
    report(done, read.pictures)
    left = [part for part in read.parts if part.number not in finished]
    usable = dataset.count()
    if left:
        for written in (executor or InProcess(model)).run(dataset.address, dataset.facts, left):
            dataset.commit(written)
            done += written.rows
            report(done, read.pictures)
    if done != read.pictures:
        raise IndexStoreError(
            f"{done - before} of {read.pictures - before} pictures were done: run the same command again."
        )
    pictures = dataset.count()
    skipped = (*read.skipped, *dataset.skipped())
    return EmbedReport(dataset.address, pictures, pictures - usable, len(left), skipped)


def _opened(
    address: str, given: Sequence[str | os.PathLike[str]], source: Source, model: Model, part_size: int
) -> Dataset:
    """The dataset to go on with, or a new one."""
    if not Dataset.exists(address):
        if Path(address).exists() and (not Path(address).is_dir() or any(Path(address).iterdir())):
            raise IndexStoreError(f"No dataset can be made at {shown_path(address)}, which holds something else.")
        facts = DatasetFacts(
            model.name,
            place(model),
            model.space,
            model.views,
            model.dimension,
            named(given),
            source.digest,
            part_size,
            len(source.parts),
            source.pictures,
        )
        return Dataset.create(address, facts)
    dataset = Dataset.open(address)
    check_space(dataset, model)
    if dataset.facts.digest != source.digest:
        raise IndexStoreError(
            f"The dataset {shown_path(address)} was begun with {dataset.facts.source} as it was then, in parts of "
            f"{dataset.facts.part_size} pictures: give the same source unchanged, or another --out."
        )
    return dataset
