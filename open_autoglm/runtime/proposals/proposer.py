"""What every kind of region proposal is: a function from a picture to boxes, best first.

It knows boxes; it knows nothing about how they are found.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ...errors import SettingError

MOST_BOXES = 1000
"""More regions a picture than this are refused: each is a vector that every word looks at."""


class Proposer(Protocol):
    """Where in a picture something may be: ``most`` boxes or fewer, and never none."""

    @property
    def most(self) -> int: ...

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [h, w, 3] to float32 [k, 4]: x0 y0 x1 y1 in fractions 0..1 of the picture, best first."""
        ...


def check_most(kind: str, most: int) -> None:
    """Raises SettingError for a limit on boxes that is none."""
    if not 1 <= most <= MOST_BOXES:
        raise SettingError(f"Regions of kind {kind} with most {most}: it must be in 1..{MOST_BOXES}.")


def or_whole(boxes: np.ndarray) -> np.ndarray:
    """The boxes as float32 [k, 4]; where there are none, the whole picture as the one region."""
    return boxes.astype(np.float32) if len(boxes) else np.array([[0, 0, 1, 1]], dtype=np.float32)


def distinct(boxes: np.ndarray, overlap: float, most: int) -> np.ndarray:
    """The indices of the first ``most`` boxes of [k, 4] that overlap no earlier one by more than ``overlap`` (IoU)."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    left = np.arange(len(boxes))
    kept: list[int] = []
    while len(left) and len(kept) < most:
        first, left = int(left[0]), left[1:]
        kept.append(first)
        shared = np.minimum(boxes[left, 2:], boxes[first, 2:]) - np.maximum(boxes[left, :2], boxes[first, :2])
        shared = shared.clip(0).prod(axis=1)
        left = left[shared <= overlap * (areas[left] + areas[first] - shared)]
    return np.array(kept, dtype=np.int64)
