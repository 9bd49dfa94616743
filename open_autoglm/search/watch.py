"""Watches what the graph misses: of some live queries all pictures are compared too, and the share found is kept.

It knows queries and what was found; it knows nothing about when they come or what follows from it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .comparing import Comparison, by_picture
from .frozen import Frozen
from .net import Mask
from .pictures import Moment
from .store import Store

AT = 10  # recall@10
REMARK = "recall"
REMEMBERED = 1000  # queries, after which older ones count half


@dataclass(frozen=True)
class Recall:
    """The share ``found`` of those that were ``wanted``: the 10 best of each of ``queries``, for one graph."""

    graph: str
    queries: int = 0
    found: int = 0
    wanted: int = 0

    @property
    def share(self) -> float:
        """In 0..1; 1 where nothing was wanted."""
        return self.found / self.wanted if self.wanted else 1.0

    def joined(self, other: Recall) -> Recall:
        """Of both, where they are of one graph; else of the other."""
        if other.graph != self.graph:
            return other
        part = 2 if self.queries >= REMEMBERED else 1
        return Recall(
            self.graph,
            self.queries // part + other.queries,
            self.found // part + other.found,
            self.wanted // part + other.wanted,
        )


def recall_of(moment: Moment, comparisons: Sequence[Comparison], searching: int | None = None) -> Recall:
    """Asks the graph, and compares everything it has, for each query."""
    frozen, living = moment.frozen, moment.living
    found = wanted = 0
    for comparison in comparisons:
        best = {id for id, _ in frozen.exactly(comparison, AT, living)}
        near = {id for id, _ in frozen.search(comparison, AT, living, -np.inf, searching)}
        found, wanted = found + len(best & near), wanted + len(best)
    return Recall(frozen.token, len(comparisons), found, wanted)


def own_queries(frozen: Frozen, count: int, living: Mask | None) -> list[Comparison]:
    """Queries by some of the pictures themselves, the same ones each time."""
    rows = np.arange(len(frozen)) if living is None else np.flatnonzero(living.rows)
    chosen = np.sort(np.random.default_rng(0).choice(rows, min(count, len(rows)), replace=False))
    return [by_picture(frozen.views(np.array([row]))[0, 0]) for row in chosen]


def kept(store: Store) -> Recall | None:
    """What was found of live queries, by any process."""
    noted = store.noted(REMARK)
    return Recall(**json.loads(noted)) if noted else None


def keep(store: Store, recall: Recall) -> Recall:
    """Adds to what is kept, where the index can be written; all of it."""
    before = kept(store)
    total = before.joined(recall) if before else recall
    if store.mode == "rw":
        store.note(REMARK, json.dumps(total.__dict__))
    return total
