"""Puts a detector into a bundle: its graph, how pictures are resized for it, and the proof that it finds the same.

It knows the detector, the export and the bundle's layout; it knows nothing about what regions are used for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from open_autoglm.bundle import Bundle, Graph
from open_autoglm.errors import BundleError
from open_autoglm.modeling.detection import Detector, probes
from open_autoglm.runtime.detector import GraphDetector
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.proposals import Detected, Detections

from .export import Exported, PictureGraph, to_onnx

MOST_APART = 1e-3  # of a box's side, as a share of the picture, and of a score


class DetectorGraph(PictureGraph):
    """Pixels of one picture to ``boxes`` [queries, 4] and ``scores`` [queries], the best of all queries and classes."""

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        model: Any = self.model
        found = model(pixel_values=self.normalised(pixels))
        chances = found.logits[0].sigmoid()
        scores, places = chances.flatten().topk(chances.shape[0])
        centres = found.pred_boxes[0][places // chances.shape[1]]
        middle, half = centres[:, :2], centres[:, 2:] / 2
        return torch.cat([middle - half, middle + half], dim=1), scores


def export_detector(detector: Detector) -> tuple[Exported, Preprocessing]:
    """The graph, ``pixels`` to ``boxes`` and ``scores``, and how pictures become pixels. BundleError as ``resized``."""
    used = detector.resized()
    queries = detector.model.config.num_queries
    pixels = torch.randint(0, 256, (1, used.height, used.width, 3), dtype=torch.uint8)
    # One picture at a time: the model's queries are chosen a picture, which the exporter can write for one alone.
    proto = to_onnx(DetectorGraph(detector.model, used), (pixels,), {"pixels": None}, ["boxes", "scores"])
    outputs = {"boxes": f"float32[{queries}, 4]", "scores": f"float32[{queries}]"}
    return Exported(proto, {"pixels": f"uint8[1, {used.height}, {used.width}, 3]"}, outputs), used


def detector_parity(detector: Detector, used: Preprocessing, bundle: Bundle, graph: Graph) -> dict[str, float]:
    """All boxes that torch and the graph find in random pictures, whatever their score, against each other.

    Pictures where the detector chooses between equals are left out. BundleError where a box has no counterpart.
    """
    everything = Detected(threshold=0.0, overlap=1.0, most=1000)
    engine = Engine(bundle, graph)
    ours = replace(detector, settings=everything)
    theirs = GraphDetector(lambda: engine, used, everything)
    apart = 0.0
    for pixels in filter(detector.decides, probes()):
        wanted, found = (rows(one.detect(pixels)) for one in (ours, theirs))
        distances = np.abs(wanted[:, None] - found[None]).max(axis=-1)
        apart = max(apart, float(distances.min(axis=1).max()), float(distances.min(axis=0).max()))
    if not apart <= MOST_APART:
        raise BundleError(f"The graph {graph.file} differs from its detector by up to {apart:.4f}.")
    return {"max_difference": apart}


def rows(found: Detections) -> NDArray[np.float32]:
    """Boxes and scores side by side, [k, 5]."""
    beside: NDArray[np.float32] = np.concatenate([found.boxes, found.scores[:, None]], axis=1)
    return beside
