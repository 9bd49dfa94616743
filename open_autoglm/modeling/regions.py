"""Regions of a picture as a sequence of vectors: what is in each box, and where it is.

It knows feature maps and boxes; it knows nothing about how boxes are proposed or what the vectors are compared with.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .roi_align import roi_align

REDUCED = 1024  # numbers a crop that the content layer sees at most: 1280 channels in 2 x 2 bins would be 5120
FREQUENCIES = 8  # the fastest wave turns by 1 radian within 1/400 of the picture's width
HIDDEN = 128


class RegionEncoder(nn.Module):
    """Features [B, hidden, h, w], boxes [B, k, 4] and mask [B, k], bool, to region vectors [B, k, width].

    Boxes are x0 y0 x1 y1 in fractions 0..1 of the picture. What a crop of ``pool`` x ``pool`` bins shows and where its
    box lies are embedded apart and normalised apart, so that neither drowns the other, then added (LXMERT, 1908.07490).
    Regions that the mask leaves out are zeros.
    """

    def __init__(self, hidden: int, width: int = 768, pool: int = 2) -> None:
        super().__init__()
        self.pool = pool
        channels = min(hidden, max(1, REDUCED // pool**2))
        # Before the crops: a linear layer and an interpolation may change places, and this way both are cheaper.
        self.reduction = nn.Conv2d(hidden, channels, kernel_size=1) if channels < hidden else nn.Identity()
        self.content = nn.Sequential(nn.Linear(channels * pool**2, width), nn.LayerNorm(width))
        self.place = BoxEmbedding(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, features: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
        crops = roi_align(self.reduction(features), boxes, self.pool).flatten(2)
        vectors: Tensor = self.norm(self.content(crops) + self.place(boxes))
        return vectors.masked_fill(~mask[..., None], 0.0)


class BoxEmbedding(nn.Module):
    """Boxes [..., 4], fractions x0 y0 x1 y1, to [..., width]: corners, centre, size and area.

    Each is given as it is and as sines and cosines of doubling frequency (Fourier features, 2006.10739): a network
    tells two boxes apart by them that the plain numbers barely do.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(9 * (1 + 2 * FREQUENCIES), HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width), nn.LayerNorm(width)
        )

    def forward(self, boxes: Tensor) -> Tensor:
        start, end = boxes[..., :2], boxes[..., 2:]
        extent = end - start
        facts = torch.cat([boxes, (start + end) / 2, extent, extent[..., :1] * extent[..., 1:]], dim=-1)
        # Made here: a buffer that no checkpoint holds would be left empty by from_pretrained.
        waves = math.pi * 2.0 ** torch.arange(FREQUENCIES, dtype=boxes.dtype, device=boxes.device)
        phases = (facts[..., None] * waves).flatten(-2)
        embedded: Tensor = self.layers(torch.cat([facts, phases.sin(), phases.cos()], dim=-1))
        return embedded


def grid_boxes(features: Tensor, cells: int = 4) -> Tensor:
    """The whole picture and the cells of a grid, row by row, for each map of a batch: [B, 1 + cells * cells, 4]."""
    edges = torch.arange(cells, dtype=features.dtype, device=features.device) / cells
    down, across = torch.meshgrid(edges, edges, indexing="ij")
    corners = torch.stack([across, down], dim=-1).flatten(0, 1)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=features.dtype, device=features.device)
    boxes = torch.cat([whole, torch.cat([corners, corners + 1 / cells], dim=-1)])
    return boxes.expand(features.shape[0], -1, -1)
