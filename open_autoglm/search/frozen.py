"""The vectors of an index as they were at one moment, mapped from a file beside it, with a graph to find the nearest.

It knows rows, ids and what to compare; it knows nothing about what was added or deleted since.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.similarity import bounded
from .comparing import Comparison
from .exact import Ranked, best, best_of_each, joined
from .graph import Width
from .halves import Halves, as_floats, products
from .net import Mask, Net, Rows, wanted
from .sections import Damaged, Sections

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

FORMAT = 4
FILE = "vectors.map"
WHOLES, VIEWS = "wholes", "views"
COMPARED_AT_ONCE = 1024  # vectors, which are made float32 for it, and so few lie in the caches meanwhile
FEW = 4096  # vectors that are compared at once rather than asked of a graph
# Comparing one node on the way through a graph costs as much as so many of them in a row.
GRAPH_COST = 40
SPARSE = 0.9  # a mask that excludes more is given to the graph
SPARE_SCANNED = 64  # where every node was compared, which costs more


class Frozen:
    """Pictures by row [n]; nothing in it ever changes, so that any number of threads may use it.

    Damaged where the file is not whole, or is not of the format this program writes.
    """

    def __init__(self, path: Path) -> None:
        self._sections = Sections(path)
        facts = self._sections.facts
        if facts.get("format") != FORMAT:
            raise Damaged(f"it has the format {facts.get('format')}")
        self.state = self._sections.state
        self.facts: dict[str, Any] = facts
        self.revision, self.token = int(facts["revision"]), str(facts["token"])
        self.width = Width(**facts["width"])
        views, dimension = int(facts["views"]), int(facts["dimension"])
        # A wrong link would lead anywhere in memory, so all but the vectors is checked before it is used.
        self._sections.check(*(name for name in self._sections.names() if name != "vectors"))
        self.ids: Ids = self._sections["ids"].view(np.int64)
        self._vectors = self._sections["vectors"].view(np.float16).reshape(-1, views, dimension)
        self._wholes = Net(self._sections, WHOLES, 1)
        self._views = Net(self._sections, VIEWS, views) if views > 1 else self._wholes

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbers(self) -> int:
        """How many numbers a view is compared by in its graph."""
        return self._views.numbers

    def check_vectors(self) -> None:
        """Raises Damaged where the vectors are not as they were written; reads all of them."""
        self._sections.check("vectors")

    def rows(self, ids: Ids) -> tuple[Rows, NDArray[np.bool_]]:
        """The rows of those ids that there are, and which they are."""
        rows = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        known: NDArray[np.bool_] = self.ids[rows] == ids
        return rows[known], known

    def views(self, rows: Rows) -> Floats:
        """The vectors [k, views, d] of rows [k]."""
        return as_floats(self._vectors[rows])

    def search(
        self, comparison: Comparison, k: int, mask: Mask | None, floor: float, searching: int | None = None
    ) -> Ranked:
        """About the ``k`` best (id, score) of those that the mask leaves, none below ``floor``, equal scores by id.

        The graph names more than are wanted, and their order is found by comparing the stored vectors. Where a graph
        would see too little, or where few are left, all are compared.
        """
        rows = self._candidates(comparison, k, mask, self.width.searching if searching is None else searching)
        if rows is None:
            return self.exactly(comparison, k, mask, floor)
        return best(self.ids[rows], comparison.score(self._compared(comparison, rows)), k, floor)

    def nearest(self, vectors: Floats, k: int, searching: int | None = None) -> tuple[Ids, Floats] | None:
        """For unit vectors [q, d] what ``search`` finds among wholes without a mask, in steps for many at once.

        Ids [q, k] and cosines [q, k]. None where that is no short way, because the graph would see too little.
        """
        searching = self.width.searching if searching is None else searching
        named = wanted(k, searching)
        held = max(searching, named)
        if len(self) <= max(FEW, 8 * named, held * GRAPH_COST):
            return None
        size = max(1, COMPARED_AT_ONCE // named)
        parts = []
        for start in range(0, len(vectors), size):
            part = vectors[start : start + size]
            rows = self._wholes.near_all(part, named, held)
            if rows is None:
                return None
            cosines = bounded(products(self._wholes_of(rows), part))
            parts.append(best_of_each(self.ids.take(rows), cosines, k))
        return joined(parts, k)

    def likely(self, comparison: Comparison, count: int) -> Ids:
        """The ids of about the ``count`` best of all that were frozen."""
        net = self._wholes if comparison.wholes else self._views
        rows = _all_of(
            [net.near(probe, count, max(count, self.width.searching), None, False) for probe in comparison.probes]
        )
        return self.ids[rows]

    def exactly(self, comparison: Comparison, k: int, mask: Mask | None, floor: float = -np.inf) -> Ranked:
        """The ``k`` best with every picture compared that the mask leaves."""
        rows = np.arange(len(self)) if mask is None else np.flatnonzero(mask.rows)
        size = max(1, COMPARED_AT_ONCE // (1 if comparison.wholes else self._vectors.shape[1]))
        found: Ranked = []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            found += best(self.ids[part], comparison.score(self._compared(comparison, part)), k, floor)
            if len(found) > 16 * k:
                found = top(found, k)
        return top(found, k)

    def _compared(self, comparison: Comparison, rows: Rows) -> Floats:
        chosen = self._wholes_of(rows[:, None]) if comparison.wholes else self._vectors.take(rows, axis=0)
        return as_floats(chosen)

    def _wholes_of(self, rows: Rows) -> Halves:
        """The first views [..., d] of rows [...]."""
        _, views, dimension = self._vectors.shape
        return self._vectors.reshape(-1, dimension).take(rows * views, axis=0)

    def _candidates(self, comparison: Comparison, k: int, mask: Mask | None, searching: int) -> Rows | None:
        """Rows among which the ``k`` best are, or None where all are to be compared."""
        net = self._wholes if comparison.wholes else self._views
        left = len(self) if mask is None else mask.count
        named = wanted(k, searching)
        if left * net.views <= FEW or 8 * named >= left:
            return None
        share = left / len(self)
        held = int(max(searching, named) / share)
        while held < len(net) and held * GRAPH_COST < left * net.views:
            near = [net.near(probe, named, held, mask, share < SPARSE) for probe in comparison.probes]
            if len(rows := _all_of(near)) >= k:
                return rows
            held *= 4  # views of few pictures, or what the mask excludes, took all the places
        rows = _all_of([net.scan(probe, named + SPARE_SCANNED, mask) for probe in comparison.probes])
        return rows if len(rows) >= k else None


def top(found: Ranked, k: int) -> Ranked:
    """The ``k`` best (id, score), equal scores by id."""
    return sorted(found, key=lambda one: (-one[1], one[0]))[:k]


def _all_of(parts: list[Rows]) -> Rows:
    return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))
