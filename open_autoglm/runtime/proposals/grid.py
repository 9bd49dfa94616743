"""Regions without looking: the cells of regular grids, the coarsest first.

It knows the picture's outline alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import SettingError
from .proposer import check_most


@dataclass(frozen=True)
class Grid:
    """Each number of ``cells`` divides the picture into as many columns and rows; 1 is the whole picture.

    ``shifted`` adds the cells half a cell further, so that what lies on a border is in the middle of another.
    """

    cells: tuple[int, ...] = (1, 2, 3, 4, 5)
    shifted: bool = False
    most: int = 100

    def __post_init__(self) -> None:
        check_most("grid", self.most)
        if not self.cells or not all(1 <= count <= 32 for count in self.cells):
            raise SettingError(f"Regions of kind grid with cells {list(self.cells)}: give numbers in 1..32.")

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        boxes = np.concatenate([self._level(count) for count in sorted(self.cells)])
        return boxes[: self.most].astype(np.float32)

    def _level(self, count: int) -> np.ndarray:
        """The cells of one grid, row by row, [n, 4]."""
        starts = np.linspace(0, 1 - 1 / count, 2 * count - 1 if self.shifted else count)
        rows, columns = (places.ravel() for places in np.meshgrid(starts, starts, indexing="ij"))
        return np.stack([columns, rows, columns + 1 / count, rows + 1 / count], axis=1).clip(0, 1)
