"""What the rollout benchmark measures on: real pictures ranked by a real bundle, and candidates that rank worse.

A candidate that ranks worse is the same bundle with noise added to its vectors, of pictures and of queries, as much as
lowers its mean average precision by the wanted share.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from open_autoglm import Model
from open_autoglm.runtime.similarity import Queries
from open_autoglm.serving.rollout.gallery import Gallery
from open_autoglm.serving.work import EmbedImage, EmbedQuery, EmbedText, EmbedViews, Job, Outcome, Served, Task

SAMPLES = Path(__file__).parent.parent / "samples"
TWO_WORDS = ("long sleeve", "t shirt")
CLOSE = 0.003  # how near to the wanted share a candidate must be
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Side:
    """A version: its gallery of the sample pictures, and its vectors [queries, dimension] of the known queries."""

    gallery: Gallery
    queries: Floats

    def scores(self, right: Sequence[frozenset[int]]) -> NDArray[np.float64]:
        """The average precision [queries] of each known query."""
        return np.array([self.gallery.score(query, mine) for query, mine in zip(self.queries, right, strict=True)])


@dataclass(frozen=True)
class Sample:
    """Pictures with what they show: ``queries``, and for each the positions of the right pictures."""

    pictures: list[bytes]
    queries: list[str]
    right: list[frozenset[int]]

    @classmethod
    def read(cls, every: int) -> Sample:
        """One of so many sample pictures; what it shows is the last word of its label."""
        files = sorted(SAMPLES.rglob("*.jpg"))[::every]
        shown = [shows(file.stem) for file in files]
        labels = sorted(set(shown))
        right = [frozenset(at for at, label in enumerate(shown) if label == wanted) for wanted in labels]
        return cls([file.read_bytes() for file in files], [f"a photo of a {label}" for label in labels], right)


def shows(stem: str) -> str:
    """What a sample's file name says it shows, in a word or two."""
    words = stem.rstrip("0123456789-").replace("-", " ")
    return words if words in TWO_WORDS else words.split()[-1]


def seen(model: Model, sample: Sample, together: int) -> Side:
    """The side of a bundle that computes so many at once: another number gives slightly other vectors."""
    views = [
        model.embed_prepared(np.stack([model.prepare(picture) for picture in sample.pictures[at : at + together]]))
        for at in range(0, len(sample.pictures), together)
    ]
    return Side(Gallery(np.concatenate(views)), model.embed_texts(sample.queries, batch_size=together))


def worse(side: Side, right: Sequence[frozenset[int]], share: float, random: np.random.Generator) -> Side:
    """The side with noise that lowers its mean score by ``share`` of it."""
    best = side.scores(right).mean()
    while True:
        noise = [random.normal(size=each.shape).astype(np.float32) for each in (side.gallery.views, side.queries)]
        for scale in np.geomspace(0.2, 4, 60):
            candidate = Side(Gallery(moved(side.gallery.views, noise[0], scale)), moved(side.queries, noise[1], scale))
            drop = 1 - candidate.scores(right).mean() / best
            if abs(drop - share) < CLOSE:
                return candidate
            if drop > 2 * share:
                break


def moved(vectors: Floats, noise: Floats, scale: float) -> Floats:
    """Unit vectors beside unit vectors; at ``scale`` 1 the noise is as long as they are."""
    found = vectors + noise * np.float32(scale / np.sqrt(vectors.shape[-1]))
    unit: Floats = found / np.linalg.norm(found, axis=-1, keepdims=True)
    return unit


class InProcess:
    """``Models`` in this process: versions of one bundle on one thread, some with vectors that were moved before."""

    def __init__(self, model: Model, known: dict[str, dict[Any, Floats]] | None = None) -> None:
        self.model = model
        self.known = known or {}
        self.names = ("photos@1", "photos@2")
        self.thread = ThreadPoolExecutor(1)

    @property
    def served(self) -> list[Served]:
        tasks = (EmbedImage, EmbedViews, EmbedText, EmbedQuery)
        return [Served(name, self.model.space, self.model.dimension, tasks) for name in self.names]

    async def answer(self, jobs: Sequence[Job]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        values = [await loop.run_in_executor(self.thread, self.value, job.model, job.task) for job in jobs]
        return [Outcome(job.model, self.model.space, value) for job, value in zip(jobs, values, strict=True)]

    def value(self, version: str, task: Task) -> Any:
        content = task.content if isinstance(task, EmbedImage | EmbedViews) else task.text  # type: ignore[union-attr]
        found = self.known.get(version, {}).get(content)
        if isinstance(task, EmbedViews):
            return self.model.embed_views(task.content) if found is None else found
        if isinstance(task, EmbedImage):
            return self.model.embed_images([task.content])[0]
        vector = self.model.embed_texts([content])[0]
        vector = vector if found is None else found
        return Queries(vector[None]) if isinstance(task, EmbedQuery) else vector
