"""Boxes that a user gives in pixels, checked and made fractions of the picture.

It knows numbers; it knows nothing about what the picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import SettingError
from .proposer import MOST_BOXES

_FORM = "a box is four numbers, x0, y0, x1, y1, in pixels"


def check_boxes(boxes: Any, width: int, height: int) -> np.ndarray:
    """Boxes [k, 4] in pixels of a picture, as float32 [k, 4], fractions 0..1; what reaches outside is clipped.

    Raises SettingError for none or more than 1000, and naming the first that has another form, a number that is not
    finite, no extent, or nothing inside the picture.
    """
    if not isinstance(boxes, Sequence | np.ndarray) or isinstance(boxes, str | bytes):
        raise SettingError(f"The boxes are {_shown(boxes)}: give a list of boxes; {_FORM}.")
    if not 1 <= len(boxes) <= MOST_BOXES:
        raise SettingError(f"There are {len(boxes)} boxes: give 1 to {MOST_BOXES}, or none to have them proposed.")
    sides = np.array([width, height, width, height], dtype=np.float64)
    return np.array([_checked(box, number, sides) for number, box in enumerate(boxes, 1)], dtype=np.float32)


def _checked(box: Any, number: int, sides: np.ndarray) -> np.ndarray:
    """One box as fractions, clipped."""
    try:
        found = np.asarray(box, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.empty(0)
    if found.shape != (4,):
        raise SettingError(f"Box {number} is {_shown(box)}: {_FORM}.")
    if not np.isfinite(found).all():
        raise SettingError(f"Box {number} is {_shown(box)}: its numbers must be finite.")
    if (found[2:] <= found[:2]).any():
        raise SettingError(f"Box {number} is {_shown(box)}: x1 must be above x0, and y1 above y0.")
    clipped = found.clip(0, sides)
    if (clipped[2:] <= clipped[:2]).any():
        size = f"{sides[0]:.0f} x {sides[1]:.0f}"
        raise SettingError(f"Box {number} is {_shown(box)}: it lies outside the picture of {size} pixels.")
    fractions: np.ndarray = clipped / sides
    return fractions


def _shown(value: Any) -> str:
    """A value, cut where it is long."""
    text = str(value.tolist() if isinstance(value, np.ndarray) else value)
    return text if len(text) <= 60 else f"{text[:60]}…"
