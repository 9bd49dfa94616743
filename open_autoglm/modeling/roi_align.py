"""Crops of a feature map at boxes that fall between its cells, without rounding: ROIAlign (Mask R-CNN, 1703.06870).

It knows maps and boxes; it knows nothing about where boxes come from or what becomes of the crops.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def roi_align(features: Tensor, boxes: Tensor, size: int, samples: int = 2) -> Tensor:
    """``size`` x ``size`` bins of each box, each the mean of ``samples`` x ``samples`` interpolated points.

    ``features`` [B, C, h, w] and ``boxes`` [B, k, 4], x0 y0 x1 y1 in fractions 0..1 of the picture, to
    [B, k, C, size, size]; differentiable in both. A cell's value stands at its middle (torchvision's
    ``aligned=True``); a point outside the picture has the value at the nearest edge. A box without extent gives the
    value at its place, an inverted one its mirrored crop.
    """
    batch, count = boxes.shape[:2]
    points = size * samples
    steps = (torch.arange(points, dtype=boxes.dtype, device=boxes.device) + 0.5) / points
    start, extent = boxes[..., :2], boxes[..., 2:] - boxes[..., :2]
    places = (start[..., None, :] + extent[..., None, :] * steps[:, None]) * 2 - 1  # [B, k, points, 2], -1..1
    across = places[..., None, :, 0].expand(batch, count, points, points)
    down = places[..., :, None, 1].expand(batch, count, points, points)
    grid = torch.stack([across, down], dim=-1).to(features.dtype).reshape(batch, count * points, points, 2)
    found = F.grid_sample(features, grid, mode="bilinear", padding_mode="border", align_corners=False)
    found = found.reshape(batch, features.shape[1], count, size, samples, size, samples)
    return found.mean(dim=(4, 6)).transpose(1, 2)
