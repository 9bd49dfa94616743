"""Fills an ordinary index from a dataset: everything was computed before, nothing is again.

It knows both stores; it needs no model, and knows nothing about pictures' files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from ...errors import IndexStoreError, SpaceMismatch
from .. import schema
from ..ingest import CHUNK, chunks
from ..records import AddReport, shown_path
from ..rows import Content, FileState
from ..scan import absolute
from ..store import Store
from .address import dataset_address
from .dataset import Dataset, DatasetFacts, Row

Report = Callable[[int, int], None]


def fill(index: str | os.PathLike[str], dataset: str | os.PathLike[str], progress: Report | None = None) -> AddReport:
    """Makes the index at a path of a finished dataset, or brings one up to date; what is there unchanged stays.

    ``progress`` takes the pictures done and their number. Raises SpaceMismatch for a dataset of another embedding
    space, IndexStoreError for one that is missing or unfinished, or an index that cannot be written.
    """
    opened = Dataset.open(dataset_address(dataset))
    facts, path = opened.facts, Path(absolute(index))
    if (missing := facts.parts - len(opened.finished())) > 0:
        raise IndexStoreError(
            f"The dataset {shown_path(opened.address)} is unfinished, {missing} of {facts.parts} parts are missing: "
            "run its 'autoglm embed' again first."
        )
    if not schema.exists(path):
        schema.create(path, index_facts(facts))
    with closing(Store(path)) as store:
        return _fill(store, opened, progress or (lambda done, total: None))


def index_facts(facts: DatasetFacts) -> dict[str, str]:
    """What an index that holds the same notes of itself."""
    return {
        "space": facts.space,
        "model": facts.model,
        "bundle": facts.bundle,
        "views": str(facts.views),
        "dimension": str(facts.dimension),
    }


def _fill(store: Store, dataset: Dataset, report: Report) -> AddReport:
    facts = dataset.facts
    if (facts.space, facts.views, facts.dimension) != (store.space, store.views, store.dimension):
        raise SpaceMismatch(
            f"The dataset {shown_path(dataset.address)} was made with {facts.model} (space {facts.space}) and cannot "
            f"fill the index {shown_path(store.path)} of {store.model} (space {store.space}): name another index."
        )
    store.check_writable()
    added = updated = unchanged = 0
    total = dataset.count()
    for chunk in chunks(dataset.rows(with_vectors=True), CHUNK):
        with store.transaction():
            for row in chunk:
                new, changed = _store_one(store, row)
                added += new
                updated += changed and not new
                unchanged += not changed
        report(added + updated + unchanged, total)
    return AddReport(added, updated, 0, unchanged, 0, tuple(dataset.skipped()))


def _store_one(store: Store, row: Row) -> tuple[bool, bool]:
    """Whether the picture is new, and whether anything of it changed."""
    state = FileState(row.key, row.size, row.mtime_ns)
    known = store.known(row.key)
    if row.sha256 is None or row.vectors is None or row.width is None or row.height is None:
        raise IndexStoreError(f"The dataset is damaged: {shown_path(row.key)} has neither vectors nor a reason.")
    content = Content(row.sha256, row.width, row.height, row.vectors.tobytes(), row.taken)
    if known is None:
        id, changed = store.insert(state, content), True
    elif changed := known.sha256 != row.sha256:
        store.replace(known.id, state, content)
        id = known.id
    else:
        id = known.id
    store.accept(row.key)
    return known is None, store.set_metadata(id, json.loads(row.metadata)) or changed
