"""Regions from any object detector that Hugging Face's AutoModelForObjectDetection loads: DETR, RT-DETR, D-FINE, YOLOS.

Its classes do not matter: what it takes for a thing of any kind is a region. It knows nothing about what regions are
used for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from open_autoglm.errors import BundleError, SettingError
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.proposals import Detected, Detections, or_whole

RESAMPLES = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # as Pillow numbers them


@dataclass(frozen=True)
class Detector:
    """A detector as a region proposer; ``settings`` say which of its boxes are kept."""

    model: Any
    processor: Any
    settings: Detected = field(default_factory=Detected)

    @property
    def most(self) -> int:
        return self.settings.most

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
        found = self.processor.post_process_object_detection(outputs, self.settings.threshold, target_sizes=[(1, 1)])[0]
        return self.settings.kept(found["boxes"].float().cpu().numpy(), found["scores"].float().cpu().numpy())

    def resized(self) -> Preprocessing:
        """How pictures are prepared for it where there is no torch. BundleError for one that a bundle cannot carry."""
        facts = self.processor
        size = dict(facts.size) if facts.do_resize else {}
        kind = self.model.config.model_type
        if kind != "rt_detr" or not facts.do_rescale or not (size.get("height") and size.get("width")):
            raise BundleError(
                f"The detector {self.settings.source} ({kind}) cannot be part of a bundle: take an RT-DETR whose image "
                "processor resizes to a height and width, as 'autoglm train' makes from recipes/detector.yaml."
            )
        unit = 1 / (255 * facts.rescale_factor)
        return Preprocessing(
            height=size["height"],
            width=size["width"],
            resize="squash",
            mean=tuple(unit * mean for mean in facts.image_mean) if facts.do_normalize else (0.0, 0.0, 0.0),
            std=tuple(unit * std for std in facts.image_std) if facts.do_normalize else (unit, unit, unit),
            resample=RESAMPLES[int(facts.resample)],  # type: ignore[arg-type]
        )


def from_checkpoint(settings: Detected) -> Detector:
    """The detector that a recipe's proposals name. SettingError where they name none, BundleError as ``resized``."""
    if not settings.source:
        raise SettingError(
            "Regions of kind detector have no source: give the detector's folder, such as runs/detector/detector."
        )
    detector = loaded(settings)
    detector.resized()  # before a training, not after it
    return detector


def load_detector(source: str | Path, **settings: Any) -> Detector:
    """The detector in a directory or of a hub id, with its image processor; ``settings`` are those of Detected.

    Raises BundleError where it cannot be loaded, or is a model of another kind.
    """
    return loaded(Detected(source=str(source), **settings))


def loaded(settings: Detected) -> Detector:
    """The detector of ``settings.source``. Raises as ``load_detector``."""
    source = settings.source
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
    return Detector(model.eval(), processor, settings)
