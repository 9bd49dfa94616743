"""A graph of near vectors (HNSW, 1603.09320) by faiss: made of them, opened from mapped bytes, asked for the nearest.

It knows vectors and numbers of nodes; it knows nothing about pictures, files or changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import needing

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Nodes = NDArray[np.int64]

FEATURE = "Searching with a graph"
EXTRA = "graph"
ABSENT = "faiss is not installed: pip install -c constraints.txt -e '.[graph]'"
KEPT = 16  # settings of searches without a filter, which need not be made for each
FOLLOWED = 4096  # nodes whose links are followed at a time
ZERO = 128  # the middle of what 8 bits can hold
SMALLEST = np.finfo(np.float32).tiny
MOST_LINKS, MOST_BUILDING, MOST_SEARCHING = 64, 800, 4096


@dataclass(frozen=True)
class Width:
    """How widely a graph is made and searched: more finds more and takes longer.

    ``links`` a node has on each upper level, and twice as many on the lowest; ``building`` and ``searching`` are
    how many nodes are held in view (``efConstruction`` and ``efSearch``). ``kept`` is the share of the
    squares of all vectors, in 0..1, that is left in the numbers that nodes are compared by; 1: all numbers.
    """

    links: int = 32
    building: int = 100
    searching: int = 256
    kept: float = 0.95

    def wider(self) -> Width:
        """The next one, for a graph that found too little."""
        return replace(
            self,
            links=min(MOST_LINKS, self.links * 3 // 2),
            building=min(MOST_BUILDING, self.building * 2),
            searching=min(MOST_SEARCHING, self.searching * 2),
            kept=1.0,
        )

    def facts(self) -> dict[str, float]:
        """As it is noted in a file."""
        return asdict(self)


def there() -> bool:
    """Whether faiss is installed."""
    return find_spec("faiss") is not None


def engine() -> Any:
    """The module of faiss. MissingExtra where it is not installed."""
    with needing(FEATURE, EXTRA):
        import faiss
    return faiss


class GraphBuilder:
    """A graph in the making; vectors, all of length 1, are kept at 8 bits a number.

    Of such vectors the one with the highest inner product is the nearest one, and stays so when the query is stretched:
    with one step for all numbers, distances are sums of whole numbers, which are quickly added up.
    ``largest`` is the number farthest from 0 that most vectors stay within.
    """

    def __init__(self, dimension: int, width: Width, largest: float, threads: int) -> None:
        self._faiss = engine()
        self._faiss.omp_set_num_threads(threads)  # of the calling thread's work alone
        kind = self._faiss.ScalarQuantizer.QT_8bit_direct
        self._index = self._faiss.IndexHNSWSQ(dimension, kind, width.links, self._faiss.METRIC_L2)
        self._index.hnsw.efConstruction = width.building
        self._largest = largest

    def codes(self, vectors: Floats) -> Bytes:
        """Vectors [n, d] as the graph keeps them, [n, d]."""
        return self._kept(vectors).astype(np.uint8)

    def add(self, vectors: Floats) -> None:
        """Adds vectors [n, d] as the next nodes."""
        self._index.add(self._kept(vectors))

    def settle(self) -> Nodes:
        """Numbers the nodes anew, in the order in which they are come by from the first; their old numbers [n].

        What a search goes through then lies nearer together in memory, whose latency is most of its time.
        """
        order = self._by_links()
        self._index.permute_entries(order)
        return order

    def _by_links(self) -> Nodes:
        """The nodes, breadth first along the links of the lowest level; last those that no link leads to."""
        hnsw = self._index.hnsw
        starts = self._faiss.vector_to_array(hnsw.offsets).astype(np.int64)
        links = self._faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
        lowest = np.arange(hnsw.nb_neighbors(0))
        order, seen = np.empty(self._index.ntotal, np.int64), np.zeros(self._index.ntotal, np.bool_)
        order[:1], seen[hnsw.entry_point], done, count = hnsw.entry_point, True, 0, 1
        while done < count:
            followed = order[done : min(count, done + FOLLOWED)]
            met = links[starts[followed, None] + lowest].ravel()
            met = met[met >= 0]
            met = met[~seen[met]]
            met = met[np.sort(np.unique(met, return_index=True)[1])]
            order[count : count + len(met)], seen[met] = met, True
            done, count = done + len(followed), count + len(met)
        order[count:] = np.flatnonzero(~seen)
        return order

    def write(self, write: Callable[[bytes], object]) -> None:
        """Hands out the finished graph, piece by piece."""
        self._faiss.write_index(self._index, self._faiss.PyCallbackIOWriter(write))

    def _kept(self, vectors: Floats) -> Floats:
        """Vectors in steps; what is farther out than the largest is taken for the last of them."""
        return np.clip(_steps(vectors, self._largest), 0, 2 * ZERO - 1)


class Graph:
    """A finished graph in bytes that stay where they are; safe to use from several threads.

    The bytes are trusted: whoever opens them has checked that they are as they were written.
    """

    def __init__(self, data: Bytes) -> None:
        self._faiss = engine()
        self._data = data  # what faiss reads, as long as it does
        self._reader = self._faiss.ZeroCopyIOReader(self._faiss.swig_ptr(data), data.size)
        self._index = self._faiss.read_index(self._reader)
        self._codes = self._faiss.downcast_index(self._index.storage)
        self.dimension, self._count = int(self._index.d), int(self._index.ntotal)

    def __len__(self) -> int:
        return self._count

    def near(self, vector: Floats, count: int, searching: int, allowed: Bytes | None = None) -> Nodes:
        """At most ``count`` nodes whose inner product with a vector [d] is about the highest, best first.

        ``searching`` nodes are held in view. ``allowed`` has a bit a node, lowest first: the only ones that are found.
        """
        held = min(searching, len(self))  # for more faiss looks for room that it never fills
        parameters = _kept_parameters(held) if allowed is None else _parameters(held)
        return self._ask(self._index, vector, count, parameters, allowed)

    def near_all(self, vectors: Floats, count: int, searching: int) -> Nodes:
        """The nodes [q, count] nearest to vectors [q, d], best first, on as many cores as faiss may use; -1 beyond all.

        ``searching`` is as in ``near``, and at least ``count``.
        """
        held = min(searching, len(self))
        found: Nodes = self._index.search(_stretched(vectors), min(count, held), params=_kept_parameters(held))[1]
        return found

    def scan(self, vector: Floats, count: int, allowed: Bytes | None = None) -> Nodes:
        """The same, with every allowed node compared."""
        return self._ask(self._codes, vector, count, self._faiss.SearchParameters(), allowed)

    def _ask(self, index: Any, vector: Floats, count: int, parameters: Any, allowed: Bytes | None) -> Nodes:
        if allowed is not None:
            # A variable of our own: faiss keeps no reference to it.
            selector = self._faiss.IDSelectorBitmap(allowed)
            parameters.sel = selector
        found: Nodes = index.search(_stretched(vector[None]), min(count, len(self)), params=parameters)[1][0]
        return found[found >= 0]


def _parameters(held: int) -> Any:
    """What a search is told that holds so many nodes in view."""
    parameters = engine().SearchParametersHNSW()
    parameters.efSearch = held
    return parameters


_kept_parameters = lru_cache(KEPT)(_parameters)  # faiss only reads them


def _steps(vectors: Floats, largest: float | Floats) -> Floats:
    """Numbers up to ``largest`` as whole ones of 1 to 255, 128 being 0."""
    steps: Floats = np.rint(vectors * (np.float32(ZERO - 1) / largest))
    steps += ZERO
    return steps


def _stretched(queries: Floats) -> Floats:
    """Queries [q, d], each with all the steps there are for its own numbers."""
    return _steps(queries, np.maximum(np.abs(queries).max(axis=1, keepdims=True), SMALLEST))
