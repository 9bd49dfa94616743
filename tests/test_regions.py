"""Regions of a feature map: crops against a written-out reference, places told apart, and the same in ONNX Runtime."""

from __future__ import annotations

import math

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.export import Dim
from torch_parts import one_thread as one_thread

from open_autoglm.compression.export import to_onnx
from open_autoglm.modeling.regions import BoxEmbedding, RegionEncoder
from open_autoglm.modeling.roi_align import roi_align

DEGENERATE = [[0.5, 0.5, 0.5, 0.5], [0.3, 0.1, 0.3, 0.9], [0.8, 0.8, 0.2, 0.2], [1.0, 1.0, 1.0, 1.0], [-1.0, 0, 3, 2]]


def random_boxes(*shape: int, seed: int = 0) -> Tensor:
    corners = torch.rand(*shape, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.cat([corners.amin(-2), corners.amax(-2)], dim=-1)


def written_out(features: Tensor, boxes: Tensor, size: int, samples: int) -> Tensor:
    """ROIAlign point by point: Mask R-CNN's bilinear interpolation of the four cells around each."""
    batch, channels, height, width = features.shape
    result = torch.zeros(batch, boxes.shape[1], channels, size, size, dtype=features.dtype)

    def value(picture: int, y: float, x: float) -> Tensor:
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        down, across = y - top, x - left
        cells = features[picture]
        upper = cells[:, top, left] * (1 - across) + cells[:, top, right] * across
        lower = cells[:, bottom, left] * (1 - across) + cells[:, bottom, right] * across
        return upper * (1 - down) + lower * down

    for picture in range(batch):
        for number, box in enumerate(boxes[picture].tolist()):
            x0, y0 = box[0] * width - 0.5, box[1] * height - 0.5
            bin_width, bin_height = (box[2] - box[0]) * width / size, (box[3] - box[1]) * height / size
            for row in range(size):
                for column in range(size):
                    for down in range(samples):
                        for across in range(samples):
                            y = y0 + (row + (down + 0.5) / samples) * bin_height
                            x = x0 + (column + (across + 0.5) / samples) * bin_width
                            result[picture, number, :, row, column] += value(picture, y, x) / samples**2
    return result


@pytest.mark.parametrize(("size", "samples"), [(1, 1), (2, 2), (3, 1), (7, 2)])
def test_crops_are_those_of_the_written_out_reference(size: int, samples: int) -> None:
    features = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    boxes = torch.cat([random_boxes(2, 6), torch.tensor(DEGENERATE, dtype=torch.float64).expand(2, -1, -1)], dim=1)
    expected = written_out(features, boxes, size, samples)
    torch.testing.assert_close(roi_align(features, boxes, size, samples), expected, atol=1e-9, rtol=0)


def test_a_map_whose_values_are_places_gives_the_places_of_the_bins() -> None:
    x = (torch.arange(16) + 0.5) / 16
    features = torch.stack([x.expand(8, 16), ((torch.arange(8) + 0.5) / 8)[:, None].expand(8, 16)])[None]
    crop = roi_align(features, torch.tensor([[[0.25, 0.125, 0.75, 0.875]]]), 2)[0, 0]
    torch.testing.assert_close(crop[0], torch.tensor([[0.375, 0.625], [0.375, 0.625]]))
    torch.testing.assert_close(crop[1], torch.tensor([[0.3125, 0.3125], [0.6875, 0.6875]]))


def test_gradients_reach_features_and_boxes() -> None:
    features = torch.randn(2, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    boxes = random_boxes(2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda *inputs: roi_align(*inputs, 2), (features, boxes))
    ours = torch.autograd.grad(roi_align(features, boxes, 2).square().sum(), features)[0]
    theirs = torch.autograd.grad(written_out(features, boxes, 2, 2).square().sum(), features)[0]
    torch.testing.assert_close(ours, theirs)


def test_boxes_without_extent_or_outside_give_finite_vectors_and_gradients() -> None:
    boxes = torch.tensor([DEGENERATE], requires_grad=True)
    encoder = RegionEncoder(4, width=16)
    vectors = encoder(torch.randn(1, 4, 3, 3), boxes, torch.ones(1, len(DEGENERATE), dtype=torch.bool))
    assert vectors.isfinite().all()
    assert torch.autograd.grad(vectors.square().sum(), boxes)[0].isfinite().all()


@pytest.mark.parametrize("hidden", [16, 1280])
def test_regions_are_a_sequence_with_its_mask(hidden: int) -> None:
    encoder = RegionEncoder(hidden)
    features, boxes = torch.randn(2, hidden, 7, 7), random_boxes(2, 5).float()
    mask = torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    vectors = encoder(features, boxes, mask)
    assert vectors.shape == (2, 5, 768)
    assert (vectors[1, 2:] == 0).all() and vectors[mask].abs().sum(-1).all()
    assert sum(parameter.numel() for parameter in encoder.parameters()) < 1_500_000
    changed = encoder(features, torch.where(mask[..., None], boxes, 0.1), mask)
    torch.testing.assert_close(changed, vectors)  # what padding holds makes no difference


def test_what_is_in_a_box_and_where_it_is_both_matter() -> None:
    encoder = RegionEncoder(8, width=32)
    boxes, mask = random_boxes(1, 1).float(), torch.ones(1, 1, dtype=torch.bool)
    features = torch.randn(1, 8, 6, 6)
    vector = encoder(features, boxes, mask)
    assert (encoder(torch.randn(1, 8, 6, 6), boxes, mask) - vector).norm() > 0.1
    even = torch.ones(1, 8, 6, 6)
    assert (encoder(even, boxes, mask) - encoder(even, boxes * 0.9, mask)).norm() > 0.1


def test_a_pixel_of_400_tells_places_apart() -> None:
    torch.manual_seed(0)
    embedding = BoxEmbedding(64)
    boxes = random_boxes(64).float() * 0.9
    near = (embedding(boxes + 1 / 400) - embedding(boxes)).norm(dim=-1)
    assert near.min() > 0.02 * math.sqrt(64)


def test_the_exported_graph_gives_the_same_for_any_number_of_pictures_and_boxes() -> None:
    encoder = RegionEncoder(6, width=24).eval()
    batch, count = Dim("n", min=1, max=64), Dim("k", min=1, max=1000)
    example = (torch.randn(2, 6, 5, 7), random_boxes(2, 3).float(), torch.ones(2, 3, dtype=torch.bool))
    shapes = {"features": {0: batch}, "boxes": {0: batch, 1: count}, "mask": {0: batch, 1: count}}
    graph = to_onnx(encoder, example, shapes, ["regions"])
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    for pictures, boxes in ((1, 1), (3, 40)):
        inputs = (
            torch.randn(pictures, 6, 5, 7),
            random_boxes(pictures, boxes).float(),
            torch.rand(pictures, boxes) > 0.3,
        )
        found = session.run(None, {name: value.numpy() for name, value in zip(shapes, inputs, strict=True)})[0]
        np.testing.assert_allclose(found, encoder(*inputs).detach().numpy(), atol=2e-5)
