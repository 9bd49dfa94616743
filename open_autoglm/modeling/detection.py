"""Regions from any object detector that Hugging Face's AutoModelForObjectDetection loads: DETR, RT-DETR, D-FINE, YOLOS.

Its classes do not matter: what it takes for a thing of any kind is a region. It knows nothing about what regions are
used for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from open_autoglm.errors import BundleError, SettingError
from open_autoglm.runtime.proposals import MOST_BOXES, distinct, or_whole


@dataclass(frozen=True)
class Detections:
    """What a detector found, best first: ``boxes`` float32 [k, 4], fractions x0 y0 x1 y1, ``scores`` float32 [k]."""

    boxes: np.ndarray
    scores: np.ndarray


@dataclass(frozen=True)
class Detector:
    """A detector as a region proposer: its boxes whatever their class, of those that overlap too much the best.

    ``threshold``: the least score, 0..1; ``overlap``: how much two boxes may (IoU); ``most``: boxes at most.
    """

    model: Any
    processor: Any
    threshold: float = 0.05
    overlap: float = 0.8
    most: int = 100

    def __post_init__(self) -> None:
        if not (1 <= self.most <= MOST_BOXES and 0 <= self.threshold < 1 and 0 < self.overlap <= 1):
            raise SettingError(
                f"A detector with most {self.most}, threshold {self.threshold} and overlap {self.overlap}: most must "
                f"be in 1..{MOST_BOXES}, and the others are shares in 0..1."
            )

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [h, w, 3] to float32 [k, 4], best first; the whole picture where nothing was detected."""
        return or_whole(self.detect(pixels).boxes)

    @torch.no_grad()
    def detect(self, pixels: np.ndarray) -> Detections:
        """Pixels uint8 [h, w, 3] to boxes with their scores; there may be none."""
        # Said rather than guessed: a picture of 3 rows could be taken for channels first.
        inputs = self.processor(images=pixels, input_data_format="channels_last", return_tensors="pt")
        outputs = self.model(**inputs.to(self.model.device))
        # The checkpoint's own processor knows whether scores are a softmax or sigmoids; a size of 1 gives fractions.
        found = self.processor.post_process_object_detection(outputs, self.threshold, target_sizes=[(1, 1)])[0]
        boxes, scores = found["boxes"].float().cpu().numpy().clip(0, 1), found["scores"].float().cpu().numpy()
        order = np.argsort(-scores, kind="stable")
        order = order[(boxes[order, 2:] > boxes[order, :2]).all(axis=1)]
        kept = order[distinct(boxes[order], self.overlap, self.most)]
        return Detections(boxes[kept], scores[kept])


def load_detector(source: str | Path, **settings: Any) -> Detector:
    """The detector in a directory or of a hub id, with its image processor; ``settings`` are Detector's.

    Raises BundleError where it cannot be loaded, or is a model of another kind.
    """
    try:
        processor = AutoImageProcessor.from_pretrained(source)
        model, report = AutoModelForObjectDetection.from_pretrained(source, output_loading_info=True)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise BundleError(f"The detector {source} cannot be loaded: {reason}.") from error
    if report["missing_keys"]:
        raise BundleError(
            f"The detector {source} lacks weights, such as {min(report['missing_keys'])}: it is no whole object "
            "detector; save one with save_pretrained, its image processor beside it."
        )
    if not hasattr(processor, "post_process_object_detection"):
        raise BundleError(f"The detector {source} has the image processor of another kind of model: save its own.")
    return Detector(model.eval(), processor, **settings)
