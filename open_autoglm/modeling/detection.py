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
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from open_autoglm.errors import BundleError, SettingError
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.proposals import Detected, Detections, or_whole

TIED = 1e-5  # of two logits: closer ones may change places from kernel to kernel
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

    def detect(self, pixels: np.ndarray) -> Detections:
        """Pixels uint8 [h, w, 3] to boxes with their scores; there may be none."""
        outputs = self.outputs(pixels)
        # The checkpoint's own processor knows whether scores are a softmax or sigmoids; a size of 1 gives fractions.
        found = self.processor.post_process_object_detection(outputs, self.settings.threshold, target_sizes=[(1, 1)])[0]
        return self.settings.kept(found["boxes"].float().cpu().numpy(), found["scores"].float().cpu().numpy())

    @torch.no_grad()
    def outputs(self, pixels: np.ndarray) -> Any:
        """What the model says of one picture."""
        # Said rather than guessed: a picture of 3 rows could be taken for channels first.
        inputs = self.processor(images=pixels, input_data_format="channels_last", return_tensors="pt")
        return self.model(**inputs.to(self.model.device))

    def decides(self, pixels: np.ndarray) -> bool:
        """Whether an RT-DETR takes some places of a picture for more likely than the rest, and looks at those."""
        likely = self.outputs(pixels).enc_outputs_class[0].amax(dim=-1).sort(descending=True).values
        last, *left_out = likely[self.model.config.num_queries - 1 :][:2].tolist()
        return not left_out or last - left_out[0] > TIED

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
    if not any(detector.decides(pixels) for pixels in probes()):
        raise BundleError(f"The detector {settings.source} takes all places of a picture for alike: train it further.")
    return detector


def probes() -> list[np.ndarray]:
    """Pictures of random colour fields, uint8 [h, w, 3], to try a detector on."""
    random = np.random.default_rng(0)
    fields = random.integers(0, 256, (4, 6, 8, 3), dtype=np.uint8)
    return [np.array(Image.fromarray(one).resize((320, 240), Image.Resampling.BICUBIC)) for one in fields]


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
