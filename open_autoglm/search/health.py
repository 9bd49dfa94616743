"""How fit an index is: what its graph has and lacks, whether its file is whole, and how much it finds.

It knows what to look at; it knows nothing about how an answer looks, nor what follows from it.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import graph
from .pictures import Pictures
from .sections import Damaged
from .store import Store
from .upkeep import floor, need
from .watch import kept, own_queries, recall_of

COMPARED = 100


@dataclass(frozen=True)
class Health:
    """The state of an index, in pictures.

    ``graph``: how many the graph was made of; 0 where there is none, and every picture is compared. ``newer`` were
    added or changed since, and are compared one by one; ``gone`` were deleted or changed. ``links`` a node has on each
    upper level; ``numbers`` are what it is compared by, in place of the ``dimension`` that a vector has; ``effort`` is
    how many are held in view. ``recall_live``: of the ten best pictures for ``live_queries`` of the queries that users
    asked, the share that the graph found; ``recall_now``: the same, measured now with ``queries`` of the index's own
    pictures. ``floor``: the recall below which a graph is made again. ``problem``: why a graph cannot be used or made;
    ``due``: why one is to be made. Both may be empty.
    """

    pictures: int
    graph: int
    newer: int
    gone: int
    links: int
    numbers: int
    dimension: int
    effort: int
    recall_live: float | None
    live_queries: int
    recall_now: float | None
    queries: int
    floor: float
    problem: str
    due: str


def health(store: Store, pictures: Pictures, queries: int = COMPARED, effort: int | None = None) -> Health:
    """Looks at everything, and asks the graph so many queries."""
    pictures.open_newest()
    if pictures.frozen:
        try:
            pictures.frozen.check_vectors()
            pictures.refresh(store.version())
        except Damaged as error:
            pictures.refuse(pictures.frozen, error)
    # Without a graph nothing is loaded: that takes all the memory there is to an index.
    moment = pictures.moment
    newer, _ = store.vectors_since(moment.frozen.revision if moment else 0)
    live = kept(store)
    wanted = need(store, pictures.frozen, live)
    now = None
    if moment:
        live = live if live and live.graph == moment.frozen.token else None
        own = own_queries(moment.frozen, queries, moment.living)
        now = recall_of(moment, own, effort) if own else None
    return Health(
        pictures=store.count(),
        graph=len(moment.frozen) if moment else 0,
        newer=newer,
        gone=len(moment.frozen) - moment.living.count if moment and moment.living else 0,
        links=moment.frozen.width.links if moment else 0,
        numbers=moment.frozen.numbers if moment else 0,
        dimension=store.dimension,
        effort=effort or (moment.frozen.width.searching if moment else 0),
        recall_live=live.share if moment and live else None,
        live_queries=live.queries if moment and live else 0,
        recall_now=now.share if now else None,
        queries=now.queries if now else 0,
        floor=floor(store),
        problem=pictures.problem or (graph.ABSENT if wanted and not graph.there() else ""),
        due=wanted.reason if wanted else "",
    )
