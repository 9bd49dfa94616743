"""Searches a dataset where it lies: every search reads the vectors of all pictures, and keeps the best.

It has an index's face for reading; it knows nothing about how a dataset is filled.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ...errors import IndexStoreError, PictureNotFound, SettingError
from ...runtime.similarity import Queries
from ..asked import asked, vectors_asked
from ..comparing import by_picture, by_sentences, word_matches
from ..exact import SCORE_DIGITS, as_arrays
from ..halves import as_floats
from ..index import Index, how_many, whole_number
from ..owner import check_query, check_space
from ..records import Hit, Record, WordMatch, shown_path
from ..rows import FileState, path_columns, state_columns
from .address import dataset_address
from .columns import Columns
from .dataset import Dataset, Row

if TYPE_CHECKING:
    from ...runtime.images import ImageSource
    from ...runtime.model import Model

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


class InPlace(Index):
    """A dataset as an index that is only read: of what an index can do, searching, ``get`` and ``info``.

    It sees the dataset as it was when it was opened. Everything else raises IndexStoreError.
    """

    def __init__(self, dataset: Dataset, model: Model | None) -> None:
        self._dataset = dataset
        self._made = dataset
        self._given_model = model
        self._loading = threading.Lock()
        self._searching = threading.Lock()
        self._columns: Columns | None = None

    @property
    def _store(self) -> NoReturn:  # type: ignore[override]
        address = shown_path(self._dataset.address)
        raise IndexStoreError(
            f"The dataset {address} is read in place, where it can be searched and nothing else: make an index of it "
            f"with 'autoglm index --from {address} --to photos.index'."
        )

    def search(
        self,
        text: str | Mapping[str, float] | None = None,
        *,
        image: ImageSource | None = None,
        like: int | None = None,
        k: int = 10,
        where: str | None = None,
        cut: bool = True,
        rerank: int = 0,
        written: bool = False,
    ) -> list[Hit]:
        """As ``Index.search``, but for what needs an index: ``rerank``, ``written``, and a picture with a text."""
        wanted, k = asked(text, image, like), how_many(k)
        if rerank:
            raise SettingError("Pictures of a dataset cannot be looked at twice: make an index of it first.")
        if written or (wanted.texts and wanted.image is not None):
            raise SettingError(
                "What is written, and a picture together with words, are searched in an index: make one of the dataset "
                "first."
            )
        floor, words, own = -np.inf, None, None
        if wanted.texts:
            query = self._checked(self.model.embed_queries(list(wanted.texts)), len(wanted.texts))
            shares, cuts = wanted.shares, self.model.cutoff(query.vectors)
            floor = float(shares[shares > 0] @ cuts[shares > 0]) if cut else floor
            score = by_sentences(query, self.model.similarity, shares, cuts).score
            words = query.words if wanted.alone is not None else None
        elif wanted.image is not None:
            score = by_picture(self._checked(Queries(self.model.embed_images([wanted.image])), 1).vectors[0]).score
        else:
            own = self._row(like)
            score = by_picture(self._views([own])[own][0]).score
        among = self._matching(where) if where is not None else None
        found = best(self._dataset.vectors(), score, k + (own is not None), among, floor)
        found = [(id, value) for id, value in found if id != own][:k]
        ids = [id for id, _ in found]
        rows = {row.id: row for row in self._dataset.rows(ids)}
        matches: dict[int, tuple[WordMatch, ...]] = {}
        if words is not None and ids:
            views = self._views(ids)
            matches = dict(zip(ids, word_matches(words, np.stack([views[id] for id in ids])), strict=True))
        return [
            Hit(id, shown_path(rows[id].key), value, json.loads(rows[id].metadata), matches.get(id, ()))
            for id, value in found
        ]

    def nearest(self, vectors: Floats, k: int = 10, *, where: str | None = None) -> tuple[Ids, Floats]:
        """As ``Index.nearest``; every picture is compared."""
        wanted, k = vectors_asked(vectors, self._dataset.facts.dimension), how_many(k)
        among = None if where is None else self._matching(where)
        scores = (by_picture(vector).score for vector in wanted)
        return as_arrays([best(self._dataset.vectors(), score, k, among, -np.inf) for score in scores], k)

    def get(self, id: int) -> Record:
        """The record of a picture. PictureNotFound for an unknown id."""
        (row,) = self._dataset.rows([self._row(id)])
        _, path, folder, name = path_columns(row.key)
        size, _, date = state_columns(FileState(row.key, row.size, row.mtime_ns), row.taken)
        file, facts = Path(os.fsdecode(row.key)), json.loads(row.metadata)
        return Record(row.id, file, path, folder, name, size, date, row.width or 0, row.height or 0, facts)

    def __len__(self) -> int:
        return self._dataset.count()

    def sample(self, count: int) -> list[Record]:
        """None, because the files of a dataset may lie on other machines."""
        return []

    def recall(self) -> float:
        """1, because every picture is compared."""
        return 1.0

    def info(self) -> dict[str, Any]:
        """What the dataset is: path, pictures, model, space, views, dimension, skipped."""
        facts = self._dataset.facts
        return {
            "path": f"lance://{shown_path(self._dataset.address)}",
            "pictures": len(self),
            "model": facts.model,
            "space": facts.space,
            "views": facts.views,
            "dimension": facts.dimension,
            "skipped": len(self._dataset.skipped()),
        }

    def close(self) -> None:
        """Ends the use of the dataset."""
        with self._searching:
            if self._columns is not None:
                self._columns.close()
                self._columns = None

    def _matching(self, where: str) -> Ids:
        """Ids for which a filter is true; the columns are read once."""
        with self._searching:
            if self._columns is None:
                self._columns = Columns(self._dataset)
            return self._columns.matching(where)

    def _row(self, id: int | None) -> int:
        number = whole_number("The id of a picture", id)
        if not 0 < number < 2**63 or not list(self._dataset.rows([number])):
            raise PictureNotFound(f"There is no picture {number} in the dataset.")
        return number

    def _views(self, ids: list[int]) -> dict[int, Floats]:
        rows: Iterator[Row] = self._dataset.rows(ids, with_vectors=True)
        return {row.id: as_floats(row.vectors) for row in rows if row.vectors is not None}

    def _checked(self, query: Queries, count: int) -> Queries:
        check_query(self.model, query, count, self._dataset.facts.dimension)
        return query


def best(
    parts: Iterator[tuple[Ids, Floats]], score: Callable[[Floats], Floats], k: int, among: Ids | None, floor: float
) -> list[tuple[int, float]]:
    """The ``k`` best (id, score) of all parts, equal scores by id; ``among`` are the only ids allowed."""
    ids, scores = np.empty(0, np.int64), np.empty(0)
    for more, views in parts:
        allowed = np.ones(len(more), np.bool_) if among is None else np.isin(more, among)
        if not allowed.any():
            continue
        ranked = score(views[allowed]).astype(np.float64).round(SCORE_DIGITS)
        ids = np.concatenate([ids, more[allowed][ranked >= floor]])
        scores = np.concatenate([scores, ranked[ranked >= floor]])
        order = np.lexsort((ids, -scores))[:k]
        ids, scores = ids[order], scores[order]
    return list(zip(ids.tolist(), scores.tolist(), strict=True))


def open_in_place(address: str, model: Model | None = None) -> InPlace:
    """A dataset as an index. IndexStoreError where there is none, SpaceMismatch for a model of another space."""
    dataset = Dataset.open(dataset_address(address))
    if model is not None:
        check_space(dataset, model)
    return InPlace(dataset, model)
