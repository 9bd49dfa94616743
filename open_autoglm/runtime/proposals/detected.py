"""Regions that a detector found: which of its boxes are kept, whatever their class.

It knows boxes and scores; it knows nothing about how a detector is run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import SettingError
from .proposer import MOST_BOXES, distinct


@dataclass(frozen=True)
class Detections:
    """What a detector found, best first: ``boxes`` float32 [k, 4], fractions x0 y0 x1 y1, ``scores`` float32 [k]."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Detected:
    """Of the boxes that overlap too much, the best is kept.

    ``source``: the detector's directory or hub id, where it is not in the bundle. ``threshold``: the least score, 0..1;
    ``overlap``: how much two boxes may (IoU); ``most``: boxes at most.
    """

    source: str = ""
    threshold: float = 0.05
    overlap: float = 0.8
    most: int = 100

    def __post_init__(self) -> None:
        if not (1 <= self.most <= MOST_BOXES and 0 <= self.threshold < 1 and 0 < self.overlap <= 1):
            raise SettingError(
                f"A detector with most {self.most}, threshold {self.threshold} and overlap {self.overlap}: most must "
                f"be in 1..{MOST_BOXES}, and the others are shares in 0..1."
            )

    def kept(self, boxes: np.ndarray, scores: np.ndarray) -> Detections:
        """Of boxes [n, 4], possibly reaching out of the picture, and their scores [n], those that count."""
        boxes = boxes.clip(0, 1)
        order = np.argsort(-scores, kind="stable")
        order = order[(scores[order] > self.threshold) & (boxes[order, 2:] > boxes[order, :2]).all(axis=1)]
        chosen = order[distinct(boxes[order], self.overlap, self.most)]
        return Detections(boxes[chosen], scores[chosen])
