"""A picture divided into connected pieces of one colour: graph merging (Felzenszwalb and Huttenlocher, IJCV 2004).

It knows pixels; it knows nothing about boxes or objects.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

_STEPS = 16  # of weight, as many links in each

_Links = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Pieces:
    """The pieces of a picture: ``labels`` int [h, w] in 0..n-1, and which touch, int [pairs, 2], each pair once."""

    labels: np.ndarray
    neighbours: np.ndarray

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1


def divide(pixels: np.ndarray, scale: float, smallest: int) -> Pieces:
    """The pieces of ``pixels`` [h, w, 3], colours in 0..255.

    ``scale``: how much a difference of colour must exceed those within the pieces to part them, the more the smaller
    they are; 0 joins equal pixels only. Pieces of fewer pixels than ``smallest`` join the neighbour nearest in colour,
    so that the blended pixels of an edge go to the side that they have most of.
    """
    height, width = pixels.shape[:2]
    colours = pixels.astype(np.float32)
    across = _distances(colours[:, 1:], colours[:, :-1])
    starts = np.ones((height, width), dtype=bool)
    starts[:, 1:] = across > 0
    runs = np.cumsum(starts).reshape(height, width) - 1  # equal pixels in a row are one node from the start
    links, weights = _links(colours, runs, across)
    sizes = np.bincount(runs.ravel())
    piece = _merge(links, weights, sizes, scale)
    neighbours = _pairs(piece[links[0]], piece[links[1]])
    sums = _totals(piece, colours[starts] * sizes[:, None])
    piece, neighbours = _absorb(piece, neighbours, sums, np.bincount(piece, sizes), smallest)
    return Pieces(piece[runs], neighbours)


def _distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Between colours, Euclidean, float32."""
    change = one - other
    distances: np.ndarray = np.sqrt(np.einsum("...c,...c->...", change, change))
    return distances


def _links(colours: np.ndarray, runs: np.ndarray, across: np.ndarray) -> tuple[_Links, np.ndarray]:
    """Nodes that touch, and their difference, the least first."""
    down = _distances(colours[1:], colours[:-1])
    fresh = np.ones(down.shape, dtype=bool)  # a long border between two runs counts once
    fresh[:, 1:] = (np.diff(runs[1:]) > 0) | (np.diff(runs[:-1]) > 0)
    parted = across > 0
    first = np.concatenate([runs[:, :-1][parted], runs[:-1][fresh]])
    second = np.concatenate([runs[:, 1:][parted], runs[1:][fresh]])
    weights = np.concatenate([across[parted], down[fresh]])
    order = np.argsort((weights * 100).astype(np.uint16), kind="stable")  # 16 bits: sorted by counting
    return (first[order], second[order]), weights[order]


def _merge(links: _Links, weights: np.ndarray, sizes: np.ndarray, scale: float) -> np.ndarray:
    """The piece of each node: links in order of weight, joined where the weight is within both sides' limits.

    Done in steps of weight instead of link by link; within a step all pieces join at once, along their weakest link
    (Boruvka).
    """
    piece = np.arange(len(sizes))
    spread = np.zeros(len(sizes), dtype=np.float32)  # the largest difference within a piece
    first, second = links
    for begin, end in pairwise(np.linspace(0, len(weights), _STEPS + 1).astype(int).tolist()):
        one, other, within = piece[first[begin:end]], piece[second[begin:end]], weights[begin:end]
        while True:
            limits = spread + np.float32(scale) / sizes
            allowed = (one != other) & (within <= np.minimum(limits[one], limits[other]))
            one, other, within = one[allowed], other[allowed], within[allowed]
            if not len(one):
                break
            chosen = _first_link(one, other, len(sizes))
            joining = np.flatnonzero(chosen < len(one))
            through = chosen[joining]
            parent = np.arange(len(sizes))
            parent[joining] = one[through] + other[through] - joining
            fresh = _numbered(_roots(parent))
            grown = np.zeros(int(fresh.max()) + 1, dtype=np.float32)
            np.maximum.at(grown, fresh, spread)
            np.maximum.at(grown, fresh[joining], within[through])
            spread, sizes = grown, np.bincount(fresh, sizes)
            piece, one, other = fresh[piece], fresh[one], fresh[other]
    return piece


def _absorb(
    piece: np.ndarray, neighbours: np.ndarray, sums: np.ndarray, sizes: np.ndarray, smallest: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same with small pieces joined to their nearest neighbour in colour, large ones before other small ones."""
    while (sizes < smallest).any() and len(sizes) > 1:
        small = sizes < smallest
        pairs = neighbours[small[neighbours[:, 0]] != small[neighbours[:, 1]]]
        if not len(pairs):
            pairs = neighbours
        means = sums / sizes[:, None]
        one, other = pairs[np.argsort(_distances(means[pairs[:, 0]], means[pairs[:, 1]]))].T
        chosen = _first_link(one, other, len(sizes))
        joining = np.flatnonzero(small & (chosen < len(one)))
        parent = np.arange(len(sizes))
        parent[joining] = one[chosen[joining]] + other[chosen[joining]] - joining
        fresh = _numbered(_roots(parent))
        sums, sizes, piece = _totals(fresh, sums), np.bincount(fresh, sizes), fresh[piece]
        neighbours = _pairs(fresh[neighbours[:, 0]], fresh[neighbours[:, 1]])
    return piece, neighbours


def _first_link(one: np.ndarray, other: np.ndarray, count: int) -> np.ndarray:
    """For each of ``count`` pieces the first link that it has; the number of links where it has none."""
    links = np.arange(len(one))
    found = np.full((2, count), len(one))
    # Written backwards, the first of each piece is what stays.
    found[0, one[::-1]] = links[::-1]
    found[1, other[::-1]] = links[::-1]
    earliest: np.ndarray = found.min(axis=0)
    return earliest


def _roots(parent: np.ndarray) -> np.ndarray:
    """Where each chain of parents ends; of two that are each other's, the lower."""
    places = np.arange(len(parent))
    further = parent[parent]
    parent = np.where(further == places, np.minimum(places, parent), parent)
    while True:
        further = parent[parent]
        if not (further != parent).any():
            return parent
        parent = further


def _numbered(roots: np.ndarray) -> np.ndarray:
    """The same groups, numbered 0..n-1."""
    used = np.zeros(len(roots), dtype=np.int64)
    used[roots] = 1
    numbers: np.ndarray = (np.cumsum(used) - 1)[roots]
    return numbers


def _totals(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The sums of ``values`` [items, c] by group."""
    return np.stack([np.bincount(groups, column) for column in values.T], axis=1)


def _pairs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Links between different pieces, [pairs, 2], the lower first, each once."""
    outer = one != other
    one, other = one[outer], other[outer]
    count = int(max(one.max(), other.max())) + 1 if len(one) else 1
    keys = np.sort(np.minimum(one, other) * count + np.maximum(one, other))
    keys = keys[np.diff(keys, prepend=-1) > 0]
    return np.stack([keys // count, keys % count], axis=1)
