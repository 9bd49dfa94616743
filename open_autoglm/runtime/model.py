"""The model at run time: pictures and texts to vectors of the shared space, and labels to probabilities.

It joins a bundle's graphs, preprocessing and calibration; it knows nothing about PyTorch, indexes or serving.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.errors import BundleError, SettingError

from .calibration import Calibration, Match
from .engine import Engine
from .images import ImageLimits, ImageSource, Preprocessing, prepare
from .similarity import cosine
from .text import TextTokenizer

NONE_OF_THESE = "none of these"
Floats = NDArray[np.float32]


class Model:
    """A bundle, ready to use; its graphs are loaded when first needed. Safe to use from several threads.

    ``precision`` picks a graph by name (``fp32``, ``int8``) where the bundle has several; ``threads`` bounds the
    cores one call may use.
    """

    def __init__(
        self,
        bundle: Bundle,
        limits: ImageLimits | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        manifest = bundle.manifest
        self.bundle = bundle
        self.name = manifest.name
        self.space = manifest.space
        self.dimension = manifest.dimension
        self.views = manifest.views
        self.limits = limits or ImageLimits()
        self._precision = precision
        self._threads = threads
        self._loading = Lock()
        self._engines: dict[str, Engine] = {}
        try:
            image, text = manifest.preprocessing["image"], manifest.preprocessing["text"]
            self.preprocessing = Preprocessing(**image | {"mean": tuple(image["mean"]), "std": tuple(image["std"])})
            self._text = {key: text[key] for key in ("max_tokens", "pad_id", "unknown_id", "pad_all")}
            self.template = str(text["template"])
        except (KeyError, TypeError) as error:
            raise BundleError(
                f"The bundle {bundle.path} has no usable preprocessing ({error}); make it again."
            ) from None

    def embed_images(self, images: Sequence[ImageSource], batch_size: int = 16) -> Floats:
        """Unit vectors [n, dimension] of whole pictures. ImageError names the first that cannot be used."""
        vectors = [
            self.embed_prepared(np.stack([self.prepare(image) for image in images[start : start + batch_size]]))[:, 0]
            for start in range(0, len(images), batch_size)
        ]
        return np.concatenate(vectors) if vectors else np.zeros((0, self.dimension), np.float32)

    def prepare(self, image: ImageSource) -> NDArray[np.uint8]:
        """A picture as the graph takes it, [height, width, 3]; ImageError where it cannot be used."""
        return prepare(image, self.preprocessing, self.limits)

    def embed_prepared(self, pixels: NDArray[np.uint8]) -> Floats:
        """Unit vectors [n, views, dimension] of prepared pictures [n, height, width, 3]: the whole, then regions."""
        return self._engine("image").run(pixels=pixels)

    def embed_texts(self, texts: Sequence[str], batch_size: int = 32) -> Floats:
        """Unit vectors [n, dimension] of sentences; long ones are cut. TextError names an empty or unknown one."""
        encodings = self._tokenizer.encode(texts) if len(texts) else []
        order = np.argsort([len(encoding.ids) for encoding in encodings], kind="stable")
        vectors = np.zeros((len(encodings), self.dimension), np.float32)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            ids, mask = self._tokenizer.batch([encodings[row] for row in rows])
            vectors[rows] = self._engine("text").run(input_ids=ids, attention_mask=mask)
        return vectors

    def classify(self, image: ImageSource, labels: Sequence[str]) -> dict[str, float]:
        """The calibrated probability of each label, and of "none of these"; they add up to 1, the best first."""
        if not labels:
            raise SettingError("Give at least one label to choose from.")
        queries = self.embed_texts([self.template.format(label) for label in labels])
        scores = cosine(queries, self.embed_images([image]))[:, 0]
        evidence = self.calibration.evidence(Match.WHOLE, queries, scores)
        weights = np.exp(np.append(evidence, 0.0) - max(evidence.max(), 0.0))
        named = zip([*labels, NONE_OF_THESE], (weights / weights.sum()).tolist(), strict=True)
        return dict(sorted(named, key=lambda pair: -pair[1]))

    def cutoff(self, queries: Floats) -> Floats:
        """For text vectors [q, dimension], the best-view score [q] below which a picture does not match."""
        return self.calibration.cutoff(Match.BEST_VIEW, queries)

    @cached_property
    def calibration(self) -> Calibration:
        """What a score means, as measured when the bundle was made."""
        return Calibration.read(self.bundle)

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return TextTokenizer(self.bundle.path / "tokenizer.json", **self._text)

    def _engine(self, task: str) -> Engine:
        with self._loading:
            if task not in self._engines:
                precision = self._precision if self._precision in self.bundle.manifest.graphs.get(task, {}) else None
                self._engines[task] = Engine(self.bundle, self.bundle.graph(task, precision), self._threads)
            return self._engines[task]


def load(name: str | os.PathLike[str] = "open-autoglm-base", **settings: Any) -> Model:
    """Opens a bundle, by directory or shipped name, as a Model; ``settings`` are the Model's own.

    Raises BundleError when it is missing, damaged, foreign or newer than this program.
    """
    return Model(Bundle.open(name), **settings)
