"""What a worker is told when it begins: the bundles, and how they are loaded.

It knows bundles and the model's settings; it knows nothing of queues or processes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BundleError
from ...manifest import Manifest
from ...runtime.decoding import DEFAULT_LIMITS, ImageLimits
from ...runtime.engine import available_cores
from ...runtime.model import Model, load
from ...runtime.recording import SENTENCE, some_picture
from ..work import (
    Ask,
    Classify,
    Describe,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    Ground,
    Match,
    Served,
    Task,
)
from .settings import WorkerSettings


@dataclass(frozen=True)
class Opening:
    """Bundles by the names they are served under, the cores each process may use, and the model's other settings.

    ``spaces``: the embedding space that each of them has to have, once it is known.
    """

    bundles: Mapping[str, str]
    threads: int | None
    precision: str | None = None
    engine: str | None = None
    limits: ImageLimits = DEFAULT_LIMITS
    spaces: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, bundles: Mapping[str, str | Path], settings: WorkerSettings, limits: ImageLimits = DEFAULT_LIMITS
    ) -> Opening:
        """As the settings say. Several processes share out the cores; a single one uses them as the model would."""
        threads = settings.threads or None
        if threads is None and settings.workers > 1:
            threads = max(1, available_cores() // settings.workers)
        paths = {name: str(path) for name, path in bundles.items()}
        return cls(paths, threads, settings.precision, settings.engine, limits)

    @property
    def decoders(self) -> int:
        """Threads that decode pictures."""
        return self.threads or available_cores()

    def told(self) -> Mapping[str, Any]:
        """In plain dictionaries."""
        return asdict(self)

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Opening:
        """What ``told`` made plain."""
        return cls(**{**told, "limits": ImageLimits(**told["limits"])})

    def models(self) -> dict[str, Model]:
        """The models, without their graphs. Raises what ``load`` raises, and BundleError for one of another space."""
        given = {"precision": self.precision, "engine": self.engine}
        settings = {name: value for name, value in given.items() if value is not None}
        models = {
            name: load(path, threads=self.threads, limits=self.limits, **settings)
            for name, path in self.bundles.items()
        }
        for name, model in models.items():
            if model.space != self.spaces.get(name, model.space):
                raise BundleError(
                    f"The bundle {self.bundles[name]} was replaced by one of another embedding space while {name} is "
                    "served from it: put the old one back, or start the server again."
                )
        return models


def served(models: Mapping[str, Model]) -> list[Served]:
    """The models as they are told about, by their bundles alone."""
    return [Served(name, model.space, model.dimension, _tasks(model.bundle.manifest)) for name, model in models.items()]


def warm(models: Mapping[str, Model]) -> None:
    """Loads the graphs that most requests need, so that none of them waits for it."""
    for model in models.values():
        graphs = model.bundle.manifest.graphs
        if "image" in graphs:
            model.embed_images([small_picture()])
        if "text" in graphs:
            model.embed_texts([SENTENCE])
        if model.bundle.manifest.fusion.get("answers"):
            model.ask(small_picture(), SENTENCE)


def small_picture() -> bytes:
    """A JPEG to try a model with."""
    file = io.BytesIO()
    some_picture().save(file, "JPEG")
    return file.getvalue()


def _tasks(manifest: Manifest) -> tuple[type[Task], ...]:
    graphs = manifest.graphs
    there: list[type[Task]] = []
    if "image" in graphs:
        there += [EmbedImage, EmbedViews]
    if "text" in graphs:
        there += [EmbedText, EmbedQuery]
    if "image" in graphs and "text" in graphs:
        there += [Classify]
    if manifest.cells:
        there += [Ground]
    if manifest.fusion.get("answers") or ("image" in graphs and "text" in graphs):
        there += [Ask]
    if manifest.fusion.get("match"):
        there += [Match]
    if manifest.generation:
        there += [Describe]
    return tuple(there)
