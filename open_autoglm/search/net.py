"""A graph over the views of pictures: equal views are one node, and what is found are pictures.

It knows rows, views and nodes; it knows nothing about ids, scores or where the vectors come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from .graph import Graph, GraphBuilder, Width
from .halves import Halves, as_floats
from .projection import BEST, projected
from .sections import Sections, SectionWriter

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Bits = NDArray[np.uint8]

SAMPLE = 50_000  # vectors that the range of numbers is taken from
SPARE = 16  # pictures looked at beyond what is wanted, for what fewer numbers of 8 bits put in a wrong order
SPARE_SHARE = 8  # and one more for so many nodes held in view: with a higher effort more of them are right
BLOCK = 4096  # vectors handled at a time: between two of them a build can be stopped


class Mask:
    """Which rows [n] may be found; what a graph needs to know of it is worked out once."""

    def __init__(self, rows: NDArray[np.bool_]) -> None:
        self.rows = rows
        self.count = int(np.count_nonzero(rows))
        self._bits: dict[str, Bits] = {}

    def bits(self, net: Net) -> Bits:
        """A bit for each node of a net, lowest first: whether it is a view of such a row."""
        if net.name not in self._bits:
            self._bits[net.name] = net.bits(self.rows)
        return self._bits[net.name]


class Net:
    """A graph, and the views that each of its nodes stands for; ``views`` of each picture are in it."""

    def __init__(self, sections: Sections, name: str, views: int) -> None:
        self.name, self.views = name, views
        self._graph = Graph(sections[f"{name}.graph"])
        self._members = sections[f"{name}.members"].view(np.uint32)
        self._starts = sections[f"{name}.starts"].view(np.int64)
        self._plain = views == 1 and len(self._graph) == len(self._members)  # no two are equal: a node has one row
        axes = sections[f"{name}.axes"].view(np.float32)
        self._axes = axes.reshape(-1, self._graph.dimension) if len(axes) else None

    def __len__(self) -> int:
        return len(self._graph)

    @property
    def numbers(self) -> int:
        """How many numbers a node is compared by."""
        return self._graph.dimension

    def near(self, probe: Floats, wanted: int, searching: int, mask: Mask | None, selecting: bool) -> Rows:
        """About the nearest ``wanted`` rows to a vector [d], best first; fewer where the search saw no more.

        ``selecting`` makes the graph pass over what the mask excludes, which costs; otherwise that is left out of
        what was found.
        """
        bits = mask.bits(self) if mask is not None and selecting else None
        return self._rows(self._graph.near(self._along(probe), searching, searching, bits), wanted, mask)

    def near_all(self, probes: Floats, wanted: int, searching: int) -> Rows | None:
        """About the nearest ``wanted`` rows [q, wanted] to vectors [q, d], for a net of one view a picture.

        None where the search saw fewer.
        """
        nodes = self._graph.near_all(self._along(probes), wanted, searching)
        if nodes.shape[1] < wanted or min(nodes[:, -1].tolist()) < 0:  # those that were not found are the last ones
            return None
        if self._plain:
            return self._members.take(nodes).astype(np.int64)
        return np.stack([self._rows(near, wanted, None) for near in nodes])

    def scan(self, probe: Floats, wanted: int, mask: Mask | None) -> Rows:
        """The same, with every allowed node compared."""
        bits = None if mask is None else mask.bits(self)
        return self._rows(self._graph.scan(self._along(probe), wanted * self.views, bits), wanted, mask)

    def bits(self, rows: NDArray[np.bool_]) -> Bits:
        """For each node whether any of the rows has a view there, eight in a byte."""
        views = rows[self._members // self.views]
        return np.packbits(np.logical_or.reduceat(views, self._starts[:-1]), bitorder="little")

    def _along(self, probes: Floats) -> Floats:
        """Vectors [..., d] as the graph takes them."""
        return probes if self._axes is None else probes @ self._axes

    def _rows(self, nodes: Rows, wanted: int, mask: Mask | None) -> Rows:
        if self._plain:
            rows = self._members[nodes].astype(np.int64)
            return (rows if mask is None else rows[mask.rows[rows]])[:wanted]
        starts, counts = self._starts[nodes], self._starts[nodes + 1] - self._starts[nodes]
        places = np.repeat(starts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        rows = self._members[places].astype(np.int64) // self.views
        if mask is not None:
            rows = rows[mask.rows[rows]]
        if self.views > 1:
            rows = rows[np.sort(np.unique(rows, return_index=True)[1])]
        nearest: Rows = rows[:wanted]
        return nearest


def write_net(
    file: SectionWriter, name: str, vectors: Halves, width: Width, threads: int, step: Callable[[int], None]
) -> None:
    """Makes a net over vectors [n, views, d] and writes its sections.

    ``step`` is called with how many of the vectors are done; what it raises ends the work.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    rng = np.random.default_rng(0)
    sample = as_floats(flat[np.sort(rng.choice(len(flat), min(SAMPLE, len(flat)), replace=False))])
    projection = projected(flat, sample, width.kept, wanted(BEST, width.searching))
    project = projection.vectors if projection else lambda vectors: vectors
    sample = project(sample)
    largest = float(np.abs(sample).max(initial=np.finfo(np.float16).tiny))
    builder = GraphBuilder(sample.shape[1], width, largest, threads)
    first, node_of = _distinct(flat, lambda vectors: builder.codes(project(vectors)))
    for rows in _blocks(len(first)):
        step(int(first[rows.start]))
        builder.add(project(as_floats(flat[first[rows]])))
    node_of = np.argsort(builder.settle())[node_of]  # sorting a permutation turns it round
    with file.section(f"{name}.members") as write:
        write(np.argsort(node_of, kind="stable").astype(np.uint32).data)
    with file.section(f"{name}.starts") as write:
        write(np.concatenate([[0], np.cumsum(np.bincount(node_of))]).astype(np.int64).data)
    with file.section(f"{name}.axes") as write:
        write(projection.axes.data if projection else b"")
    with file.section(f"{name}.graph") as write:
        builder.write(write)
    step(len(flat))


def wanted(k: int, searching: int) -> int:
    """How many pictures a graph is to name for the ``k`` best of them to be among them."""
    return k + max(SPARE, k // 2) + searching // SPARE_SHARE


def _distinct(vectors: Halves, codes: Callable[[Floats], Bits]) -> tuple[Rows, Rows]:
    """The first of each group of vectors [n, d] that the graph cannot tell apart, and the group of each vector.

    A graph with many equal nodes falls into pieces: each has links to its equals alone. ``codes`` are what it sees.
    """
    factors = np.random.default_rng(0).integers(1, 2**63, vectors.shape[1:], dtype=np.uint64) | np.uint64(1)
    hashes = np.empty(len(vectors), np.uint64)
    for rows in _blocks(len(vectors)):
        # Odd factors, and sums that wrap: two in 10**19 collide, and would only be harder to find.
        seen = codes(as_floats(vectors[rows])).astype(np.uint64)
        hashes[rows] = seen @ factors[: seen.shape[1]]
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[group]


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK))
