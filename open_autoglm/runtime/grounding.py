"""Where in a picture a text is: a heat map from the similarity of its cells to the text, and boxes around its peaks.

It knows cells and directions in the shared space; it knows nothing about graphs or calibration.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .answers import Grounding
from .seeing import Seen
from .similarity import Bilinear, Queries, Similarity, words_of

Floats = NDArray[np.float32]
SIDE = 48  # of the square that heat is added up on: twice the finest grid of the shipped models
LONGEST = 512  # pixels of a heat map's longer side; it holds no more detail than its cells
CENTRE = 0.5  # spread of the prior, as a share of the picture: people put what they photograph near the middle
LEVEL = 0.5  # of the highest peak: what is warmer belongs to a box
SMALLEST = 9  # places of the square: what is smaller is an edge of the map's weave, unless it is all there is
MOST_BOXES = 10


def direction(similarity: Similarity, queries: Queries) -> Floats:
    """Texts [q, d] such that their inner product with a cell ranks cells as the model's similarity does."""
    if similarity.needs_parts:
        words = words_of(queries)
        mean: Floats = (words.vectors * words.mask[..., None]).sum(axis=1) / words.mask.sum(axis=1, keepdims=True)
        return mean.astype(np.float32)
    return similarity.fold(queries.vectors) if isinstance(similarity, Bilinear) else queries.vectors


def ground(seen: Seen, text: Floats, probability: float) -> Grounding:
    """A text's direction [d] in a picture; ``probability``: that it is there at all.

    A box's score is that probability, lessened as far as the box's own peak falls short of the highest.
    """
    heat = heat_square(seen.grids, text)
    found = boxes(heat)
    scale = np.array([seen.width, seen.height] * 2, np.float32) / np.float32(SIDE)
    shrink = min(1.0, LONGEST / max(seen.width, seen.height))
    shape = (max(1, round(shrink * seen.width)), max(1, round(shrink * seen.height)))
    return Grounding(
        boxes=np.array([box for _, box in found], np.float32).reshape(-1, 4) * scale,
        scores=np.array([peak * probability for peak, _ in found], np.float32),
        heatmap=resized(heat, shape).clip(0, 1),
    )


def heat_square(grids: Sequence[Floats], text: Floats) -> Floats:
    """The heat [SIDE, SIDE] of a whole picture, squeezed to a square, in 0..1.

    Each cell's similarity times its strength, which is a class activation map for the text (arXiv 1512.04150); the
    sizes added up; then a weak prior for the centre.
    """
    total = np.sum([resized(grid @ text, (SIDE, SIDE)) for grid in grids], axis=0)
    place = (np.arange(SIDE) + 0.5) / SIDE - 0.5
    prior = np.exp(-(place[:, None] ** 2 + place**2) / (2 * CENTRE**2))
    heat: Floats = ((total - total.min()) * prior).astype(np.float32)
    return heat / max(float(heat.max()), 1e-12)


def boxes(heat: Floats) -> list[tuple[float, tuple[int, int, int, int]]]:
    """The connected parts of a heat map that are warmer than ``LEVEL``: the peak of each and its box, best first."""
    warm = heat >= LEVEL
    found: list[tuple[float, tuple[int, int, int, int]]] = []
    while warm.any():
        start = np.unravel_index(np.where(warm, heat, -1).argmax(), heat.shape)
        part = connected(warm, (int(start[0]), int(start[1])))
        rows, columns = np.nonzero(part)
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        if not found or part.sum() >= SMALLEST:
            found.append((float(heat[start]), box))
        warm &= ~part
    return found[:MOST_BOXES]


def connected(mask: NDArray[np.bool_], start: tuple[int, int]) -> NDArray[np.bool_]:
    """The part of a mask that is connected with a place in it, by sides."""
    part = np.zeros_like(mask)
    part[start] = True
    while True:
        grown = part.copy()
        grown[1:] |= part[:-1]
        grown[:-1] |= part[1:]
        grown[:, 1:] |= part[:, :-1]
        grown[:, :-1] |= part[:, 1:]
        grown &= mask
        if (grown == part).all():
            return part
        part = grown


def resized(values: Floats, size: tuple[int, int]) -> Floats:
    """Values [h, w] at another size, width and height, bilinearly."""
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.array(image.resize(size, Image.Resampling.BILINEAR), np.float32)
