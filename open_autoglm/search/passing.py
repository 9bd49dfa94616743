"""Which pictures a filter leaves: of a few that are likely found, or of all, whose answers are kept for a while.

It knows filters and the store; it knows nothing about vectors.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from .filters import matching
from .store import Store

Ids = NDArray[np.int64]

KEPT = 8  # answers, of at most eight bytes a picture
TIMELY = re.compile(r"\b(?:date|datetime|time|strftime|julianday|unixepoch)\b\s*\(", re.IGNORECASE)


class Passing:
    """Filters over one store; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[str, int], Ids] = OrderedDict()
        self._turn = threading.Lock()

    def all(self, where: str) -> Ids:
        """The ids of all pictures that a filter leaves. FilterError where it cannot be used."""
        key = (where, self._store.revision())
        if (kept := self._known(key)) is not None:
            return kept
        ids = self._evaluate(where)
        if not TIMELY.search(where):  # what depends on the clock is right for one moment
            with self._turn:
                self._kept[key] = ids
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return ids

    def of(self, where: str, near: Ids, newer: Ids, enough: int) -> Ids:
        """Those of a few ids that a filter leaves, where at least ``enough`` of the ``near`` ones are; else all."""
        if (kept := self._known((where, self._store.revision()))) is not None:
            return kept
        ids = self._evaluate(where, [*near.tolist(), *newer.tolist()])
        return ids if np.count_nonzero(np.isin(near, ids)) >= enough else self.all(where)

    def _known(self, key: tuple[str, int]) -> Ids | None:
        with self._turn:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def _evaluate(self, where: str, among: list[int] | None = None) -> Ids:
        store = self._store
        return matching(store.path, store.database, where, store.fields(), store.mode, among)
