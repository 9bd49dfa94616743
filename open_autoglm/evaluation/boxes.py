"""Metrics of boxes: overlap, and the share of things that some region covers.

It knows boxes as arrays; it knows nothing about how they were found.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def iou(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intersection over union of boxes [n, 4] with [m, 4], x0 y0 x1 y1 in any unit: [n, m]."""
    one, other = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    extents = np.minimum(one[:, None, 2:], other[None, :, 2:]) - np.maximum(one[:, None, :2], other[None, :, :2])
    shared = extents.clip(0).prod(axis=-1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=-1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - shared
    shares: NDArray[np.float64] = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return shares


def box_recall(
    proposed: Sequence[NDArray[np.floating]], wanted: Sequence[NDArray[np.floating]], overlap: float = 0.5
) -> float:
    """The share of all ``wanted`` boxes that one proposed in their picture overlaps by ``overlap`` (IoU) or more."""
    found = [
        (iou(there, ours) >= overlap).any(axis=1) if len(ours) else np.zeros(len(there), dtype=np.bool_)
        for ours, there in zip(proposed, wanted, strict=True)
    ]
    return float(np.concatenate(found).mean())
