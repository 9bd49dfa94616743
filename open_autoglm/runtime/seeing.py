"""A picture as a model sees it: vectors of the whole and of its views, and of many small cells.

It knows models and pictures; it knows nothing about texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from .decoding import ImageSource, open_picture
from .images import Preprocessing, prepare
from .similarity import unit

if TYPE_CHECKING:
    from .model import Model

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Seen:
    """One picture: its ``width`` and ``height`` upright, its ``views`` [views, d], and its cells at several sizes.

    A cell of ``grids``, each [rows, columns, d], points where what it shows lies in the space; its length is how
    strongly it shows that, 1 as strongly as the whole picture. ``grids`` is empty where the model has no cells.
    """

    width: int
    height: int
    views: Floats
    grids: tuple[Floats, ...]

    @property
    def cells(self) -> Floats:
        """All cells as unit vectors [cells, d]."""
        return np.concatenate([unit(grid).reshape(-1, grid.shape[-1]) for grid in self.grids])


def see(model: Model, image: ImageSource) -> Seen:
    """A picture, decoded once, by all the graphs that look at one. ImageError where it cannot be used."""
    facts = model.bundle.manifest.cells
    opened = open_picture(image, model.limits)
    width, height = opened.size()
    cells = cells_preprocessing(model.preprocessing, facts) if facts else None
    upright = opened.pixels(max(model.preprocessing.shortest, cells.shortest if cells else 0))
    views = model.embed_prepared(prepare(upright, model.preprocessing, model.limits)[None])[0]
    if cells is None:
        return Seen(width, height, views, ())
    found = model.embed_cells(prepare(upright, cells, model.limits)[None])[0]
    return Seen(width, height, views, tuple(as_grids(found, facts["grids"])))


def need_cells(model: Model) -> None:
    """Raises SettingError where a model cannot say where things are."""
    if not model.bundle.manifest.cells:
        raise SettingError(
            f"{model.name} cannot say where in a picture something is: its picture tower gives one vector for the "
            "whole picture and no map; use open-autoglm-base, or a model trained from it."
        )


def cells_preprocessing(preprocessing: Preprocessing, facts: Mapping[str, Any]) -> Preprocessing:
    """As the model's own, but larger, and of the whole picture, however much of it the model cuts off."""
    return replace(preprocessing, height=facts["height"], width=facts["width"], resize="squash", crop_from=None)


def as_grids(cells: Floats, shapes: list[list[int]]) -> list[Floats]:
    """Cells [n, d] as their grids [rows, columns, d], one after the other."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
    parts = np.split(cells, ends)
    return [part.reshape(*shape, -1) for part, shape in zip(parts, shapes, strict=True)]
