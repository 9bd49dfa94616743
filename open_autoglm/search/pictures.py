"""All vectors of an index as they are now: those of the mapped graph, and in memory what is newer.

It knows the store's changes and when a newer file lies beside it; it knows nothing about models or filters.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import graph
from .building import tokens
from .comparing import Comparison, by_picture
from .exact import ExactSearch, Ranked, as_arrays, best_of_each
from .frozen import FILE, Frozen, top
from .net import Mask
from .sections import Damaged, state_of
from .store import Store

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

LOOKED = 0.1  # seconds after which it is looked again whether another program has made a newer file


@dataclass(frozen=True)
class Moment:
    """The frozen pictures, and which of them are still as they were; None: all."""

    frozen: Frozen
    living: Mask | None


class Pictures:
    """Pictures by id, for one thread at a time.

    Where no graph was made yet, or its file is damaged or of another index, all of them are in memory and compared.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._file = store.path / FILE
        self._refused: tuple[int, int, int] | None = None
        self._look_at = 0.0
        self.problem = ""
        self.adopt(None)

    def adopt(self, frozen: Frozen | None) -> None:
        """Goes over to other frozen pictures; the next refresh finds what is newer than they are."""
        self.frozen = frozen
        self._living: Mask | None = None
        self._newer = ExactSearch(self._store.views, self._store.dimension)
        self._seen = frozen.revision if frozen else 0
        self._version = -1

    def refuse(self, frozen: Frozen, error: Damaged) -> None:
        """Does without frozen pictures that turned out to be damaged."""
        if frozen is self.frozen:
            self._refused, self.problem = frozen.state, str(error)
            self.adopt(None)

    def __contains__(self, id: int) -> bool:
        return id in self._newer or self._row(id) is not None

    @property
    def newer(self) -> int:
        """How many pictures are compared one by one, because no graph has them."""
        return len(self._newer)

    @property
    def moment(self) -> Moment | None:
        """What the graph has, as it stays."""
        return Moment(self.frozen, self._living) if self.frozen else None

    def refresh(self, version: int) -> None:
        """Takes over what any process has changed up to a version of the store, and now and then a newer graph."""
        if time.monotonic() >= self._look_at:
            self.open_newest()
            self._look_at = time.monotonic() + LOOKED
        if version == self._version:
            return
        if self._store.revision() != self._seen:
            self._take()
        self._version = version

    def _take(self) -> None:
        with self._store.changes(self._seen) as changes:
            self._bury(changes.removed)
            self._newer.remove(changes.removed)
            self._newer.reserve(changes.count)
            for ids, vectors in changes.parts:
                self._bury(ids)
                self._newer.put(ids, vectors)
            self._seen = changes.revision

    def views(self, ids: list[int]) -> Floats:
        """The vectors [n, views, dimension] of pictures. KeyError for an unknown id."""
        return np.concatenate(
            [self._newer.views([id]) if id in self._newer else self._frozen_views(id) for id in ids]
            or [np.empty((0, self._store.views, self._store.dimension), np.float32)]
        )

    def likely(self, comparison: Comparison, count: int) -> tuple[Ids, Ids] | None:
        """The ids of about the ``count`` best that the graph has, and of all newer ones.

        None where that is no short way: without a graph, or with many newer pictures.
        """
        if self.frozen is None or self.newer > count:
            return None
        return self.frozen.likely(comparison, count), self._newer.ids

    def search(
        self, comparison: Comparison, k: int, among: Ids | None, floor: float, effort: int | None = None
    ) -> Ranked:
        """The ``k`` best (id, score), equal scores by id; about the best of those that the graph has.

        ``among`` are the only ids allowed; scores below ``floor`` are left out; ``effort`` is how many nodes of the
        graph are held in view, as noted in the graph by default.
        """
        found = self._newer.search(comparison.score, k, among, floor) if self._newer else []
        if self.frozen is None:
            return found
        mask = self._living
        if among is not None:
            rows = np.zeros(len(self.frozen), np.bool_)
            rows[self.frozen.rows(among)[0]] = True
            mask = Mask(rows if mask is None else rows & mask.rows)
        mapped = self.frozen.search(comparison, k, mask, floor, effort)
        return top(found + mapped, k) if found else mapped

    def nearest(self, vectors: Floats, k: int, among: Ids | None, effort: int | None = None) -> tuple[Ids, Floats]:
        """For unit vectors [q, d] what ``search`` finds when it compares wholes, without a floor.

        Ids [q, k] and scores [q, k], -1 and -inf where there are fewer.
        """
        together = None
        if self.frozen is not None and self._living is None and among is None:
            together = self.frozen.nearest(vectors, k, effort)
        if together is None:
            return as_arrays([self.search(by_picture(vector), k, among, -np.inf, effort) for vector in vectors], k)
        if not self._newer:
            return together
        (ids, scores), newer = together, [self._newer.search(by_picture(vector).score, k) for vector in vectors]
        more, higher = as_arrays(newer, k)
        return best_of_each(np.concatenate([ids, more], axis=1), np.concatenate([scores, higher], axis=1), k)

    def _row(self, id: int) -> int | None:
        if self.frozen is None:
            return None
        (rows, _) = self.frozen.rows(np.array([id]))
        if not len(rows) or (self._living is not None and not self._living.rows[rows[0]]):
            return None
        return int(rows[0])

    def _frozen_views(self, id: int) -> Floats:
        row = self._row(id)
        if self.frozen is None or row is None:
            raise KeyError(id)
        return self.frozen.views(np.array([row]))

    def _bury(self, ids: Ids) -> None:
        """Notes that the graph's pictures of these ids are gone, or no longer as they were."""
        if self.frozen is None or not len(ids):
            return
        rows, _ = self.frozen.rows(ids)
        if len(rows):
            living = np.ones(len(self.frozen), np.bool_) if self._living is None else self._living.rows.copy()
            living[rows] = False
            self._living = Mask(living)

    def open_newest(self) -> None:
        """Goes over to the file that lies beside the store now, where that is another one."""
        if newest := self.newest():
            self.adopt(newest)

    def newest(self) -> Frozen | None:
        """What lies beside the store now, opened; None where it is in use already or cannot be used."""
        try:
            state = state_of(self._file.stat())
            if state in (self._refused, self.frozen and self.frozen.state) or not graph.there():
                return None
            frozen = Frozen(self._file)
            self._check(frozen)
        except FileNotFoundError:
            return None  # what is mapped stays usable, also where its file is gone
        except (Damaged, OSError, ValueError, KeyError, TypeError) as error:
            self._refused, self.problem = state, str(error)
            return None
        self.problem = ""
        return frozen

    def _check(self, frozen: Frozen) -> None:
        store = self._store
        facts = (store.space, store.views, store.dimension)
        if facts != tuple(frozen.facts[name] for name in ("space", "views", "dimension")):
            raise Damaged("it is of another model")
        if frozen.token not in tokens(store) or frozen.revision > store.revision():
            raise Damaged("it was not made from this index")
