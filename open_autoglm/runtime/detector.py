"""A bundle's detector as a region proposer.

It knows the detector's graph and how pictures are resized for it; it knows nothing about what regions are used for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from open_autoglm.bundle import Bundle
from open_autoglm.errors import BundleError

from .engine import Engine
from .images import Preprocessing, prepare
from .proposals import Detected, Detections, or_whole


@dataclass(frozen=True)
class GraphDetector:
    """``engine`` gives the graph when it is first needed; ``settings`` say which of its boxes are kept."""

    engine: Callable[[], Engine]
    preprocessing: Preprocessing
    settings: Detected

    @property
    def most(self) -> int:
        return self.settings.most

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels uint8 [h, w, 3] to float32 [k, 4], best first; the whole picture where nothing was detected."""
        return or_whole(self.detect(pixels).boxes)

    def detect(self, pixels: np.ndarray) -> Detections:
        """Pixels uint8 [h, w, 3] to boxes with their scores; there may be none."""
        seen = prepare(pixels, self.preprocessing)
        boxes, scores = self.engine().outputs(("boxes", "scores"), pixels=seen[None])
        return self.settings.kept(boxes, scores)


def bundled(bundle: Bundle, engine: Callable[[str], Engine]) -> Callable[[Detected], GraphDetector]:
    """What makes the proposer of a bundle that carries a detector; ``engine`` gives the graph of a task."""

    def make(settings: Detected) -> GraphDetector:
        facts = bundle.manifest.preprocessing.get("detector")
        if facts is None:
            raise BundleError(f"{bundle.path} looks at regions of a detector that it lacks; make the bundle again.")
        resized = Preprocessing(**facts | {"mean": tuple(facts["mean"]), "std": tuple(facts["std"])})
        return GraphDetector(lambda: engine("detect"), resized, settings)

    return make
