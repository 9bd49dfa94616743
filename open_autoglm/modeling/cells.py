"""Vectors of the cells of a picture: what each small part of it shows, and how strongly.

They come from the tower's feature maps and the picture head; it knows nothing about text or about files.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .heads import strength
from .model import OpenAutoGLM
from .similarity import unit

FINER = 1.5  # a second, larger look at the picture finds smaller things; two looks disagree where either is wrong
WINDOW = 3  # cells a side that are seen together: one alone sees too little of a thing to name it


def cell_sizes(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """The sizes in pixels, smallest first, at which cells are computed for a model that sees ``height`` x ``width``."""
    return (height, width), (round(FINER * height), round(FINER * width))


def image_cells(model: OpenAutoGLM, pixel_values: Tensor, sizes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
    """For each size the cells of the feature map, [B, rows, columns, projection_dim]; normalised pixels [B, 3, H, W].

    A cell's direction is the unit vector of a small window around it, as of any region (dense labels from a global
    model: MaskCLIP, arXiv 2112.01071). Its length is the window's share in the picture's evidence, which class
    activation maps show (arXiv 1512.04150): 1 where it has as much as the picture on the whole.
    """
    return tuple(cells_at(model, pixel_values, size) for size in sizes)


def cells_at(model: OpenAutoGLM, pixel_values: Tensor, size: tuple[int, int]) -> Tensor:
    """The cells of the picture at one size, [B, rows, columns, projection_dim]."""
    if tuple(pixel_values.shape[-2:]) != size:
        pixel_values = F.interpolate(pixel_values, size=size, mode="bilinear", align_corners=False, antialias=True)
    maps = model.vision.features(pixel_values)
    windows = F.avg_pool2d(maps, WINDOW, 1, WINDOW // 2, count_include_pad=False).permute(0, 2, 3, 1)
    whole = maps.mean(dim=(2, 3))[:, None, None]
    share = strength(model.image_head, windows) / strength(model.image_head, whole)
    cells: Tensor = unit(model.image_head(windows)) * share
    return cells


def cell_grids(model: OpenAutoGLM, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
    """Rows and columns of the cells at each size."""
    with torch.no_grad():
        maps = (model.vision.features(torch.zeros(1, 3, *size)) for size in sizes)
        return [list(one.shape[-2:]) for one in maps]
