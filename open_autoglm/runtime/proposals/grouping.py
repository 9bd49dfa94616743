"""Pieces of a picture grouped into ever larger ones: selective search (Uijlings et al., IJCV 2013).

It knows pieces and their colours; it knows nothing about how they were found or which of the groups are kept.
"""

from __future__ import annotations

import numpy as np

from .superpixels import Pieces

_BINS = 12  # of each colour channel


def bounds(pieces: Pieces) -> np.ndarray:
    """The box of each piece, int [n, 4], x0 y0 x1 y1 in pixels, the far sides exclusive."""
    height, width = pieces.labels.shape
    boxes = np.tile(np.array([width, height, 0, 0]), (pieces.count, 1))
    rows, columns = np.indices((height, width))
    flat = pieces.labels.ravel()
    for side, places in ((0, columns), (1, rows)):
        np.minimum.at(boxes[:, side], flat, places.ravel())
        np.maximum.at(boxes[:, side + 2], flat, places.ravel() + 1)
    return boxes


def group(pixels: np.ndarray, pieces: Pieces) -> np.ndarray:
    """The boxes of all groups, int [n - 1, 4], in the order in which they come together.

    Of all neighbours the two most alike are joined, again and again: alike in colour (intersection of histograms), and
    by size and fill, so that small ones join early and a group has no holes.
    """
    count = pieces.count
    boxes, histograms, sizes = bounds(pieces), _histograms(pixels, pieces), np.bincount(pieces.labels.ravel())
    shares = sizes / sizes.sum()
    touching = np.zeros((count, count), dtype=bool)
    touching[pieces.neighbours[:, 0], pieces.neighbours[:, 1]] = True
    touching |= touching.T
    alike = np.full((count, count), -np.inf, dtype=np.float32)
    for place in range(count):
        alike[place] = _likeness(place, touching[place], boxes, histograms, shares, pieces.labels.size)
    groups = np.empty((count - 1, 4), dtype=boxes.dtype)
    for made in range(count - 1):
        kept, gone = divmod(int(alike.argmax()), count)
        boxes[kept] = [*np.minimum(boxes[kept, :2], boxes[gone, :2]), *np.maximum(boxes[kept, 2:], boxes[gone, 2:])]
        together = shares[kept] + shares[gone]
        histograms[kept] = (histograms[kept] * shares[kept] + histograms[gone] * shares[gone]) / together
        shares[kept] = together
        touching[kept] |= touching[gone]
        touching[kept, [kept, gone]] = False
        touching[gone] = touching[:, gone] = False
        touching[:, kept] = touching[kept]
        alike[gone] = alike[:, gone] = -np.inf
        alike[kept] = _likeness(kept, touching[kept], boxes, histograms, shares, pieces.labels.size)
        alike[:, kept] = alike[kept]
        groups[made] = boxes[kept]
    return groups


def _likeness(
    place: int, touching: np.ndarray, boxes: np.ndarray, histograms: np.ndarray, shares: np.ndarray, area: int
) -> np.ndarray:
    """How alike one piece is to all others, float32 [n]; minus infinity to those it does not touch."""
    near = np.flatnonzero(touching)
    colour = np.minimum(histograms[near], histograms[place]).sum(axis=1)
    together = shares[near] + shares[place]
    corners = np.maximum(boxes[near, 2:], boxes[place, 2:]) - np.minimum(boxes[near, :2], boxes[place, :2])
    holes = corners.prod(axis=1) / area - together
    found = np.full(len(touching), -np.inf, dtype=np.float32)
    found[near] = colour + (1 - together) + (1 - holes)
    return found


def _histograms(pixels: np.ndarray, pieces: Pieces) -> np.ndarray:
    """The colours of each piece, float [n, 3 * bins], each row of sum 1."""
    bins = pixels.reshape(-1, 3).astype(np.int64) * _BINS // 256 + np.arange(3) * _BINS
    keys = pieces.labels.reshape(-1, 1) * (3 * _BINS) + bins
    found = np.bincount(keys.ravel(), minlength=pieces.count * 3 * _BINS).reshape(pieces.count, 3 * _BINS)
    shares: np.ndarray = found / found.sum(axis=1, keepdims=True)
    return shares
