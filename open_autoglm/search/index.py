"""The search index: a directory that finds pictures by words, by a picture, or like one of its own.

It joins store, scan, filters and exact search to a model; it knows nothing about pages or commands.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BundleError, PictureNotFound, SettingError, SpaceMismatch
from ..runtime.similarity import Queries
from . import schema
from .comparing import by_picture, by_sentence, word_matches
from .exact import ExactSearch
from .facts import Facts
from .filters import matching
from .gone import refuse_emptied
from .ingest import Ingest
from .owner import check_model, check_space, own_model, place
from .records import AddReport, Hit, Json, Progress, Record, WordMatch, shown_path
from .rerank import check_rerank, look_again
from .scan import absolute, scan
from .store import Store

if TYPE_CHECKING:
    from ..runtime.images import ImageSource
    from ..runtime.model import Model

IN_PLACE = "lance://"


class Index:
    """Pictures, their vectors and metadata in one directory; safe to use from several threads and processes.

    What another process adds or deletes is seen by the next search. Every method may raise IndexStoreError
    where the index is damaged, busy or cannot be written.
    """

    def __init__(self, store: Store, model: Model | None) -> None:
        self._store = store
        self._given_model = model
        self._loading = threading.Lock()
        self._exact = ExactSearch(store.views, store.dimension)
        self._seen = 0
        self._searching = threading.Lock()

    @classmethod
    def create(cls, path: str | os.PathLike[str], model: Model, exist_ok: bool = False) -> Index:
        """Makes an empty index at ``path``, a directory of its own. IndexStoreError where something is there.

        An index that another process makes there at the same time is opened, with ``exist_ok`` also one that was
        there before. SettingError for what is no path or no model.
        """
        check_model(model)
        if exist_ok and schema.exists(Path(absolute(path))):
            return cls.open(path, model)
        facts = {
            "space": model.space,
            "model": model.name,
            "bundle": place(model),
            "views": str(model.views),
            "dimension": str(model.dimension),
        }
        schema.create(Path(absolute(path)), facts)
        return cls.open(path, model)

    @classmethod
    def open(cls, path: str | os.PathLike[str], model: Model | None = None) -> Index:
        """Opens the index at ``path``; without ``model``, the one that made it is loaded when first needed.

        ``lance://ADDRESS`` is a dataset of ``autoglm embed``, which is searched where it lies and never changed.
        An index that may not be written to can be searched; one on a drive that is read-only altogether is seen
        as it is now. Raises IndexStoreError where there is none or it is damaged, SpaceMismatch for a model of
        another space, SettingError for what is no path or no model.
        """
        if model is not None:
            check_model(model)
        if isinstance(path, str) and path.startswith(IN_PLACE):
            from .bulk.in_place import open_in_place

            return open_in_place(path, model)
        store = Store(Path(absolute(path)))
        try:
            if model is not None:
                check_space(store, model)
        except SpaceMismatch:
            store.close()
            raise
        return cls(store, model)

    @property
    def model(self) -> Model:
        """The model that made the index. BundleError or SpaceMismatch where it cannot be had."""
        with self._loading:
            if self._given_model is None:
                model = own_model(self._store)
                check_space(self._store, model)
                self._given_model = model
            return self._given_model

    def use(self, model: Model) -> None:
        """Works with ``model`` from now on, such as one that remembers. SpaceMismatch for one of another space."""
        check_model(model)
        check_space(self._store, model)
        with self._loading:
            self._given_model = model

    def add(
        self,
        source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        metadata: Mapping[str, Mapping[str, Json]] | None = None,
        progress: Callable[[Progress], None] | None = None,
        prune: bool = False,
    ) -> AddReport:
        """Brings the index up to date with a folder (and all below it) or with single files.

        Files that have not changed are not read, pictures known under another path are not embedded again, and
        pictures gone from the folder are removed. What cannot be used is reported; a picture that was usable
        before stays as it was. Pictures are stored 16 at a time: stopped in the middle, the next call goes on
        from there. A deleted picture whose file is still there comes back. Hidden files and folders, whose names
        begin with a dot, are left out.

        A folder that has lost all its pictures may be on a drive that is not mounted: SettingError, and nothing is
        changed, unless ``prune`` says that they are to be removed. Where the index was opened with a model, it
        remembers where that model lies.

        ``metadata`` maps a path (absolute, relative to the folder or the current directory, or a single file's
        name) to its columns for ``where``, and replaces what the picture had. ``progress`` is called after each
        file. Raises SettingError where the source is missing or the metadata cannot be kept, before anything
        is changed.
        """
        self._store.check_writable()
        facts = Facts(metadata)
        found = scan(source)
        if not prune:
            refuse_emptied(self._store, found)
        self._store.set_model(self.model.name, place(self.model))
        return Ingest(self._store, self.model, facts, progress).run(found)

    def search(
        self,
        text: str | None = None,
        *,
        image: ImageSource | None = None,
        like: int | None = None,
        k: int = 10,
        where: str | None = None,
        cut: bool = True,
        rerank: int = 0,
    ) -> list[Hit]:
        """The at most ``k`` best pictures for a text, a picture, or one of the index's own (itself left out).

        A text is compared as the model was trained to: by its vector with a picture's best view, or by its words with
        the picture's regions. A picture is compared with whole pictures, by the cosine, whatever the model's
        similarity. ``where`` is an SQL expression over id, path, name, folder, date, size, width, height and the
        metadata's keys; only pictures for which it is true are compared; ``date`` is as in Record. ``cut`` leaves out
        what a calibrated model does not take for a match with a text; picture queries are never cut. ``rerank``: of
        so many of the best, at least ``k``, the files are read again and judged by a model that was trained to match.

        Raises SettingError unless exactly one query is given and ``k`` is positive, or where nothing can be looked at
        twice, TextError, ImageError or FilterError for a query that cannot be used, PictureNotFound where ``like`` is
        unknown.
        """
        if sum(query is not None for query in (text, image, like)) != 1:
            raise SettingError("Give exactly one of a text, a picture and the id of a picture to search by.")
        k = whole_number("k, the number of pictures wanted,", k)
        if k < 1:
            raise SettingError(f"k, the number of pictures wanted, must be at least 1, not {k}.")
        matching, best = None, k
        if rerank := whole_number("rerank, the number of pictures to look at twice,", rerank):
            check_rerank(rerank, k, text)
            matching, best = self.model.matching, rerank
        if like is not None:
            like = whole_number("The id of a picture", like)
        floor = -np.inf
        query: Queries | None = None
        if text is not None:
            query = self.model.embed_queries([text])
            floor = float(self.model.cutoff(query.vectors)[0]) if cut else floor
        elif image is not None:
            query = Queries(self.model.embed_images([image]))
        if query is not None and query.vectors.shape != (1, self._store.dimension):
            raise BundleError(
                f"{self.model.name} gives a vector of the shape {list(query.vectors.shape)}, the index has vectors of "
                f"{self._store.dimension} numbers: its bundle is damaged, copy it again."
            )
        among = self._matching(where) if where is not None else None
        with self._searching:
            self._refresh()
            if query is None:
                found = self._like(like, k, among)
            elif text is None:
                found = self._exact.search(by_picture(query.vectors[0]), k, among)
            else:
                found = self._exact.search(by_sentence(query, self.model.similarity), best, among, floor)
            ids = [id for id, _ in found]
            words = self._words(query, ids)
            views = self._exact.views(ids) if matching is not None else None
        records = self._store.records(ids)
        hits = [
            Hit(id, records[id].path, score, records[id].metadata, words.get(id, ()))
            for id, score in found
            if id in records
        ]
        if matching is not None and views is not None and text is not None:
            there = np.array([id in records for id in ids], np.bool_)
            hits = look_again(matching, text, hits, records, views[there])
        return hits[:k]

    def delete(self, ids: int | Iterable[int] | None = None, *, where: str | None = None) -> int:
        """Removes pictures by id or ``where`` from the index, never from disk; how many there were.

        Unknown ids are passed over. Raises SettingError unless exactly one of the two is given, and for what is
        no whole number.
        """
        if (ids is None) == (where is None):
            raise SettingError("Give either the ids of the pictures to delete or a filter.")
        if where is not None:
            chosen = self._matching(where).tolist()
        else:
            several = ids if isinstance(ids, Iterable) and not isinstance(ids, str | bytes) else [ids]
            chosen = [number for id in several if 0 < (number := whole_number("The id of a picture", id)) < 2**63]
        with self._store.transaction():
            return self._store.remove(chosen)

    def get(self, id: int) -> Record:
        """The record of a picture. PictureNotFound for an unknown id."""
        id = whole_number("The id of a picture", id)
        records = self._store.records([id])
        if id not in records:
            raise PictureNotFound(f"There is no picture {id} in the index.")
        return records[id]

    def __len__(self) -> int:
        return self._store.count()

    def info(self) -> dict[str, Any]:
        """What the index is: path, pictures, model, space, views, dimension, bytes, folders, skipped."""
        store = self._store
        return {
            "path": shown_path(store.path),
            "pictures": store.count(),
            "model": store.model,
            "space": store.space,
            "views": store.views,
            "dimension": store.dimension,
            "bytes": sum(size_of(file) for file in store.path.iterdir()),
            "folders": store.folders(),
            "skipped": len(store.skipped()),
        }

    def close(self) -> None:
        """Ends the use of the index; what was added is stored already."""
        self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _matching(self, where: str) -> NDArray[np.int64]:
        return matching(self._store.path, self._store.database, where, self._store.fields(), self._store.mode)

    def _like(self, id: int | None, k: int, among: NDArray[np.int64] | None) -> list[tuple[int, float]]:
        if id is None or id not in self._exact:
            raise PictureNotFound(f"There is no picture {id} in the index.")
        found = self._exact.search(by_picture(self._exact.views([id])[0, 0]), k + 1, among)
        return [(other, score) for other, score in found if other != id][:k]

    def _words(self, query: Queries | None, ids: list[int]) -> dict[int, tuple[WordMatch, ...]]:
        """For each picture where the query's words are; nothing for a query without."""
        if query is None or query.words is None:
            return {}
        return dict(zip(ids, word_matches(query.words, self._exact.views(ids)), strict=True))

    def _refresh(self) -> None:
        """Takes over into memory what any process has changed since the last search."""
        if self._store.revision() == self._seen:
            return
        with self._store.changes(self._seen) as changes:
            self._exact.remove(changes.removed)
            self._exact.reserve(changes.count)
            for ids, vectors in changes.parts:
                self._exact.put(ids, vectors)
            self._seen = changes.revision


def whole_number(what: str, value: object) -> int:
    """The value as an int. SettingError for anything but a whole number, which true and false are not."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise SettingError(f"{what} must be a whole number, not {value!r}.") from None


def size_of(file: Path) -> int:
    """A file's bytes; SQLite removes its journals whenever it likes."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
