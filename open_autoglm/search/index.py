"""The search index: a directory that finds pictures by words, by a picture, or like one of its own.

It joins store, scan, filters and exact search to a model; it knows nothing about pages or commands.
"""

from __future__ import annotations

import operator
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureNotFound, SettingError, SpaceMismatch
from ..runtime.engine import available_cores
from ..runtime.similarity import Queries
from . import schema
from .asked import Asked, asked, vectors_asked
from .building import build
from .comparing import Comparison, by_picture, word_matches
from .duplicates import THRESHOLD, Duplicates, check_threshold, grouped
from .exact import joined
from .facts import Facts
from .frozen import FILE
from .gone import refuse_emptied
from .health import COMPARED, Health, health
from .ingest import Ingest
from .owner import Made, check_model, check_query, check_space, own_model, place
from .passing import Passing
from .pictures import Pictures
from .ranking import Ranking, calibrate
from .records import AddReport, Hit, Json, Progress, Record, WordMatch, shown_path
from .rerank import check_rerank, look_again
from .scan import absolute, scan
from .seeing import see
from .store import Store
from .upkeep import FLOOR_REMARK, Upkeep, need
from .watch import kept

if TYPE_CHECKING:
    from ..runtime.images import ImageSource
    from ..runtime.model import Model

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

IN_PLACE = "lance://"
ASKED_AT_ONCE = 128  # vectors that are looked for in one turn
LIKELY = 512  # pictures that a filter is tried on before it is on all


class Index:
    """Pictures, their vectors and metadata in one directory; safe to use from several threads and processes.

    What another process adds or deletes is seen by the next search. Every method may raise IndexStoreError
    where the index is damaged, busy or cannot be written.
    """

    def __init__(self, store: Store, model: Model | None, effort: int | None = None) -> None:
        self._store = store
        self._made: Made = store
        self._effort = effort
        self._given_model = model
        self._loading = threading.Lock()
        self._pictures = Pictures(store)
        self._ranking = Ranking(store, self._pictures, self._nearest)
        self._passing = Passing(store)
        self._searching = threading.Lock()
        self._upkeep = Upkeep(store, self._pictures, self._searching)

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
    def open(cls, path: str | os.PathLike[str], model: Model | None = None, *, effort: int | None = None) -> Index:
        """Opens the index at ``path``; without ``model``, the one that made it is loaded when first needed.

        ``effort``: how many nodes of the graph a search holds in view, where the index is so large that it has one;
        more finds more and takes longer. By default it is what the graph was made for.
        ``lance://ADDRESS`` is a dataset of ``autoglm embed``, which is searched where it lies and never changed.

        An index that may not be written to can be searched; one on a drive that is read-only altogether is seen
        as it is now. Raises IndexStoreError where there is none or it is damaged, SpaceMismatch for a model of
        another space, SettingError for what is no path or no model.
        """
        if model is not None:
            check_model(model)
        if effort is not None and whole_number("effort, the nodes of the graph held in view,", effort) < 1:
            raise SettingError(f"effort, the nodes of the graph held in view, must be at least 1, not {effort}.")
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
        return cls(store, model, effort)

    @property
    def model(self) -> Model:
        """The model that made the index. BundleError or SpaceMismatch where it cannot be had."""
        with self._loading:
            if self._given_model is None:
                model = own_model(self._made)
                check_space(self._made, model)
                self._given_model = model
            return self._given_model

    def use(self, model: Model) -> None:
        """Works with ``model`` from now on, such as one that remembers. SpaceMismatch for one of another space."""
        check_model(model)
        check_space(self._made, model)
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
        report = Ingest(self._store, self.model, facts, progress).run(found)
        calibrate(self._store, self.model)
        return report

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
        """The at most ``k`` best pictures for texts, a picture, both, or one of the index's own (itself left out).

        A text is compared as the model was trained to: by its vector with a picture's best view, or by its words with
        the picture's regions. A picture is compared with whole pictures, by the cosine, whatever the model's
        similarity. Several texts have weights, ``{"red dress": 1, "long": -0.5}``: the score is their weighed
        mean, and one below 0 counts against the pictures that match it. A picture and texts add up, the picture having
        half the weight of a text of weight 1.

        ``written``: what is written counts too: words in file names, in the name of their folder, and in the metadata's
        texts add to the score of a picture, or take from it for a text of a weight below 0.

        ``where`` is an SQL expression over id, path, name, folder, date, size, width, height and the metadata's keys;
        only pictures for which it is true are compared; ``date`` is as in Record. ``cut`` leaves out what a calibrated
        model does not take for a match with a text, as scores in this index are; queries with a picture are never cut.
        ``rerank``: of so many of the best, at least ``k``, the files are read again and judged by a model that was
        trained to match.

        Raises SettingError unless there is one such query, its weights are numbers and one of them is above 0, and
        ``k`` is positive, or where nothing can be looked at twice, TextError, ImageError or FilterError for a query
        that cannot be used, PictureNotFound where ``like`` is unknown.
        """
        wanted, k = asked(text, image, like), how_many(k)
        matching, best = None, k
        if rerank := whole_number("rerank, the number of pictures to look at twice,", rerank):
            check_rerank(rerank, k, wanted.alone)
            matching, best = self.model.matching, rerank
        if like is not None:
            like = whole_number("The id of a picture", like)
        texts, comparison, floor = None, None, -np.inf
        picture = Queries(self.model.embed_images([image])) if image is not None else None
        if picture is not None:
            check_query(self.model, picture, 1, self._store.dimension)
            comparison = by_picture(picture.vectors[0])
        if wanted.texts:
            texts = self.model.embed_queries(wanted.texts)
            check_query(self.model, texts, len(wanted.texts), self._store.dimension)
            with self._searching:
                self._ranking.refresh(self._store.version())
                comparison, floor = self._ranking.comparison(self.model, wanted, texts, picture)
        floor = floor if cut else -np.inf
        written = written and bool(wanted.texts)
        among = None
        if where is not None:
            # Words are found in pictures that no vector would make likely.
            among = self._passing.all(where) if written else self._among(where, comparison, best)
        with self._searching:
            self._pictures.refresh(self._store.version())
            if comparison is None:
                found = self._like(like, k, among)
            elif written:
                found = self._ranking.mixed(wanted, comparison, best, among, floor)
            else:
                found = self._nearest(comparison, best, among, floor)
            ids = [id for id, _ in found]
            words = self._words(wanted, texts, ids)
            views = self._pictures.views(ids) if matching is not None else None
        shown = self._store.shown(ids)
        hits = [Hit(id, shown[id][0], score, shown[id][1], words.get(id, ())) for id, score in found if id in shown]
        if matching is not None and views is not None and wanted.alone is not None:
            records = self._store.records([hit.id for hit in hits])
            hits = [hit for hit in hits if hit.id in records]
            there = np.array([id in records for id in ids], np.bool_)
            hits = look_again(matching, wanted.alone, hits, records, views[there])
        return hits[:k]

    def nearest(self, vectors: Floats, k: int = 10, *, where: str | None = None) -> tuple[Ids, Floats]:
        """The ids [q, k] of the pictures nearest to vectors [q, d], best first, and their cosines [q, k].

        Vectors are of the index's space, of any length, as its model embeds pictures and texts; they are compared with
        whole pictures. Where there are fewer than ``k``, ids are -1 and cosines -inf. ``where`` is as in search. No
        record is read, which makes it the quickest way to ask. Raises SettingError for vectors of another size, without
        a direction or with what is no number, and where ``k`` is not positive; FilterError.
        """
        wanted, k = vectors_asked(vectors, self._store.dimension), how_many(k)
        among = None if where is None else self._passing.all(where)
        parts = []
        for start in range(0, len(wanted), ASKED_AT_ONCE):  # other searches have their turn in between
            part = wanted[start : start + ASKED_AT_ONCE]
            with self._searching:
                self._pictures.refresh(self._store.version())
                parts.append(self._pictures.nearest(part, k, among, self._effort))
                for vector in part:
                    self._upkeep.asked(partial(by_picture, vector))
        return joined(parts, k)

    def duplicates(
        self,
        threshold: float = THRESHOLD,
        *,
        where: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> Duplicates:
        """Groups of pictures that are nearly the same, each with the best to keep; nothing is deleted.

        Pictures are compared by what they look like from afar, 16 x 16 dots, not by what they show: two photos of a
        thing differ, a photo and its copy saved smaller or brighter do not, nor does one with a little cut off. Turned
        and mirrored copies do. ``threshold`` is the least likeness, 1 for the same dots. The first time every file is
        read, and ``progress`` called after each; ``where`` is as in search. Raises SettingError and FilterError.
        """
        threshold = check_threshold(threshold)
        chosen = self._passing.all(where).tolist() if where is not None else None
        records = self._store.records(chosen)
        dots, skipped = see(self._store, records, progress)
        return Duplicates(grouped(dots, records, threshold), len(dots), tuple(skipped))

    def delete(self, ids: int | Iterable[int] | None = None, *, where: str | None = None) -> int:
        """Removes pictures by id or ``where`` from the index, never from disk; how many there were.

        Unknown ids are passed over. Raises SettingError unless exactly one of the two is given, and for what is
        no whole number.
        """
        if (ids is None) == (where is None):
            raise SettingError("Give either the ids of the pictures to delete or a filter.")
        if where is not None:
            chosen = self._passing.all(where).tolist()
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

    def sample(self, count: int) -> list[Record]:
        """The records of at most ``count`` pictures, spread over all of them."""
        return list(self._store.records(self._store.sample(count)).values())

    def find(self, path: str | os.PathLike[str]) -> int:
        """The id of the picture that the index has of a file. PictureNotFound where it has none."""
        key = os.fsencode(absolute(path))
        ((known, _),) = self._store.states([key])
        if known is None:
            raise PictureNotFound(f"There is no picture of {shown_path(path)} in the index.")
        return known.id

    def __len__(self) -> int:
        return self._store.count()

    def optimize(self, progress: Callable[[int, int], None] | None = None, *, again: bool = False) -> bool:
        """Makes the graph that a large index is searched with, where it is due or ``again`` is set; whether it was.

        An index that stays open does so on its own, in the background. Searches go on meanwhile. ``progress`` is
        called with the vectors done and their number. Raises IndexStoreError where the index cannot be written,
        MissingExtra where the graph's package is not installed.
        """
        self._store.check_writable()
        with self._searching:
            self._pictures.open_newest()
        wanted = need(self._store, self._pictures.frozen, kept(self._store), again)
        if wanted is None:
            return False
        made = build(self._store.path, wanted.width, available_cores(), progress or (lambda done, total: None))
        with self._searching:
            self._pictures.open_newest()
        return made

    def check(self, queries: int = COMPARED) -> Health:
        """Measures how fit the index is for searching; asks so many ``queries`` with and without the graph."""
        with self._searching:
            return health(self._store, self._pictures, queries, self._effort)

    def recall(self) -> float | None:
        """Of the ten best pictures for live queries, the share that searches find; None where that is not known yet.

        It is 1 where there is no graph and every picture is compared.
        """
        frozen = self._pictures.frozen
        if frozen is None:
            return None if (self._store.path / FILE).exists() else 1.0
        live = kept(self._store)
        return live.share if live is not None and live.graph == frozen.token else None

    def set_recall_floor(self, share: float) -> None:
        """The recall@10 of live queries, in 0..1, below which the graph is made again, wider. Kept in the index."""
        if not 0 <= share <= 1:
            raise SettingError(f"The lowest recall must be between 0 and 1, not {share}.")
        self._store.note(FLOOR_REMARK, str(float(share)))

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
        self._upkeep.close()
        self._store.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _among(self, where: str, comparison: Comparison | None, k: int) -> Ids:
        """Ids that a filter leaves: all, or enough of those that are likely found."""
        likely = None
        if comparison is not None:
            with self._searching:
                self._pictures.refresh(self._store.version())
                likely = self._pictures.likely(comparison, max(LIKELY, 8 * k))
        return self._passing.all(where) if likely is None else self._passing.of(where, *likely, enough=2 * k)

    def _nearest(
        self, comparison: Comparison, k: int, among: Ids | None, floor: float = -np.inf
    ) -> list[tuple[int, float]]:
        found = self._pictures.search(comparison, k, among, floor, self._effort)
        self._upkeep.asked(lambda: comparison)
        return found

    def _like(self, id: int | None, k: int, among: Ids | None) -> list[tuple[int, float]]:
        if id is None or id not in self._pictures:
            raise PictureNotFound(f"There is no picture {id} in the index.")
        found = self._nearest(by_picture(self._pictures.views([id])[0, 0]), k + 1, among)
        return [(other, score) for other, score in found if other != id][:k]

    def _words(self, wanted: Asked, texts: Queries | None, ids: list[int]) -> dict[int, tuple[WordMatch, ...]]:
        """For each picture where the words of what is wanted are; nothing for a query without."""
        if texts is None or texts.words is None:
            return {}
        words = texts[np.flatnonzero(wanted.shares > 0)].as_one().words
        return dict(zip(ids, word_matches(words, self._pictures.views(ids)), strict=True)) if words is not None else {}


def how_many(k: object) -> int:
    """The number of pictures wanted. SettingError where it is no number above 0."""
    number = whole_number("k, the number of pictures wanted,", k)
    if number < 1:
        raise SettingError(f"k, the number of pictures wanted, must be at least 1, not {number}.")
    return number


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
