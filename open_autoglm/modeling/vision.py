"""The picture side: a tower's features as one vector for the whole picture and one for each region.

It knows nothing about text or the shared space.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel

from .configuration import OpenAutoGLMConfig


class VisionEncoder(nn.Module):
    """``pixel_values`` [B, 3, H, W], normalised, to features of the whole and of the regions, [B, ..., hidden].

    The whole may be seen at several sizes, as a tower recognises best at the size it was trained at; the regions are
    the cells of regular grids over the feature maps of larger pictures. Each size is computed once.
    """

    def __init__(self, config: OpenAutoGLMConfig) -> None:
        super().__init__()
        self.tower = AutoModel.from_config(config.vision_config)
        self.pooling = config.image_pooling
        self.whole_sizes = tuple(config.whole_sizes)
        self.grids = tuple((size, cells) for size, cells in config.region_grids)
        vision = config.vision_config
        self.hidden_size: int = vision.hidden_size if hasattr(vision, "hidden_size") else vision.hidden_sizes[-1]

    def forward(self, pixel_values: Tensor, regions: bool = True) -> tuple[Tensor, Tensor]:
        """Features of the whole [B, sizes, hidden], at least one, and of the regions [B, cells, hidden], or none."""
        if self.pooling == "pooler":
            pooled: Tensor = self.tower(pixel_values=pixel_values).pooler_output
            whole = pooled.flatten(1).unsqueeze(1)
            return whole, whole[:, :0]
        sizes = self.whole_sizes or (pixel_values.shape[-1],)
        grids = self.grids if regions else ()
        maps = {size: self.features(resized(pixel_values, size)) for size in {*sizes, *(size for size, _ in grids)}}
        whole = torch.stack([maps[size].mean(dim=(2, 3)) for size in sizes], dim=1)
        return whole, torch.cat([whole[:, :0], *(grid_pool(maps[size], cells) for size, cells in grids)], dim=1)

    def features(self, pixel_values: Tensor) -> Tensor:
        """The tower's feature map, [B, hidden, h, w]."""
        maps: Tensor = self.tower(pixel_values=pixel_values).last_hidden_state
        return maps


def resized(pixel_values: Tensor, size: int) -> Tensor:
    """The picture at ``size``, [B, 3, size, size]."""
    if pixel_values.shape[-1] == pixel_values.shape[-2] == size:
        return pixel_values
    return F.interpolate(pixel_values, size=(size, size), mode="bilinear", align_corners=False, antialias=True)


def grid_pool(features: Tensor, grid: int) -> Tensor:
    """The mean of each cell of a grid x grid division of a map [B, C, h, w], row by row: [B, grid * grid, C]."""
    height, width = features.shape[-2] // grid, features.shape[-1] // grid
    cells = F.avg_pool2d(features, kernel_size=(height, width), stride=(height, width))
    return cells[:, :, :grid, :grid].flatten(2).transpose(1, 2)
