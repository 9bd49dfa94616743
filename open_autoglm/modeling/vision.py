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
    """``pixel_values`` [B, 3, H, W], normalised, to features [B, views, hidden]: the whole first, then the regions.

    The regions are the cells of a regular grid over the feature map of the full-size picture. The whole is taken from
    a reduced picture (``whole_size``), because a tower recognises best at the size it was trained at.
    """

    def __init__(self, config: OpenAutoGLMConfig) -> None:
        super().__init__()
        self.tower = AutoModel.from_config(config.vision_config)
        self.pooling = config.image_pooling
        self.grid = config.region_grid
        self.whole_size = config.whole_size
        self.hidden_size: int = config.vision_config.hidden_size

    def forward(self, pixel_values: Tensor) -> Tensor:
        if self.pooling == "pooler":
            pooled: Tensor = self.tower(pixel_values=pixel_values).pooler_output
            return pooled.flatten(1).unsqueeze(1)
        reduced = self.reduced(pixel_values)
        maps = self.features(reduced)
        whole = maps.mean(dim=(2, 3)).unsqueeze(1)
        if not self.grid:
            return whole
        full = maps if reduced is pixel_values else self.features(pixel_values)
        return torch.cat([whole, grid_pool(full, self.grid)], dim=1)

    def features(self, pixel_values: Tensor) -> Tensor:
        """The tower's feature map, [B, hidden, h, w]."""
        maps: Tensor = self.tower(pixel_values=pixel_values).last_hidden_state
        return maps

    def reduced(self, pixel_values: Tensor) -> Tensor:
        """The picture at ``whole_size``, [B, 3, whole_size, whole_size]."""
        if self.whole_size is None or self.whole_size == pixel_values.shape[-1]:
            return pixel_values
        side = (self.whole_size, self.whole_size)
        return F.interpolate(pixel_values, size=side, mode="bilinear", align_corners=False, antialias=True)


def grid_pool(features: Tensor, grid: int) -> Tensor:
    """The mean of each cell of a grid x grid division of a map [B, C, h, w], row by row: [B, grid * grid, C]."""
    height, width = features.shape[-2] // grid, features.shape[-1] // grid
    cells = F.avg_pool2d(features, kernel_size=(height, width), stride=(height, width))
    return cells[:, :, :grid, :grid].flatten(2).transpose(1, 2)
