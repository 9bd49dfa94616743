"""Regions without weights, of any kind of object: pieces of one colour, and groups of pieces, as boxes.

It knows nothing about what the regions show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from ...errors import SettingError
from .grouping import bounds, group
from .proposer import check_most, distinct, or_whole
from .superpixels import divide

_SIDES = range(16, 1025)


@dataclass(frozen=True)
class Segments:
    """Selective search (Uijlings et al., IJCV 2013) on a picture whose longer side has ``side`` pixels at most.

    ``scales``: the picture is divided once for each, finer for lower ones; 0 parts every change of colour, which is
    right for drawings. ``smallest``: the share of the picture below which a piece joins its neighbour. ``grouped``:
    groups of pieces are proposed too, the largest first. Of boxes that overlap by more than ``overlap`` (IoU) the first
    is kept, of those ``most``.
    """

    side: int = 160
    scales: tuple[float, ...] = (60.0, 250.0)
    smallest: float = 0.001
    grouped: bool = True
    overlap: float = 0.6
    most: int = 100

    def __post_init__(self) -> None:
        check_most("segments", self.most)
        if self.side not in _SIDES:
            raise SettingError(f"Regions of kind segments with side {self.side}: it must be in 16..{_SIDES[-1]}.")
        if not self.scales or not all(0 <= scale <= 1e6 for scale in self.scales):
            raise SettingError(f"Regions of kind segments with scales {list(self.scales)}: give numbers from 0 up.")
        if not 0 <= self.smallest <= 1 or not 0 < self.overlap <= 1:
            raise SettingError(
                f"Regions of kind segments with smallest {self.smallest} and overlap {self.overlap}: both are shares "
                "in 0..1."
            )

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        reduced = _reduced(pixels, self.side)
        height, width = reduced.shape[:2]
        levels = [self._level(reduced, scale) for scale in self.scales]
        ranks = np.concatenate([np.arange(len(level)) for level in levels])
        boxes = np.concatenate(levels)[np.argsort(ranks, kind="stable")]
        kept = boxes[distinct(boxes, self.overlap, self.most)]
        return or_whole(kept / np.array([width, height, width, height]))

    def _level(self, reduced: np.ndarray, scale: float) -> np.ndarray:
        """The boxes of one division, best first, int [n, 4]: the groups made last, then the pieces by their size."""
        pieces = divide(reduced, scale, round(self.smallest * reduced.shape[0] * reduced.shape[1]))
        boxes = bounds(pieces)[np.argsort(-np.bincount(pieces.labels.ravel()), kind="stable")]
        return np.concatenate([group(reduced, pieces)[::-1], boxes]) if self.grouped else boxes


def _reduced(pixels: np.ndarray, side: int) -> np.ndarray:
    """The picture with its longer side cut down to ``side`` pixels; a smaller one as it is."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
