"""A model whose work is done by the scheduler: what an index, or a cache before it, uses from plain threads.

It knows the runtime's model and the scheduler's jobs; it knows nothing of queues or processes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...bundle import Bundle
from ...runtime.answers import Answer, Grounding
from ...runtime.decoding import DEFAULT_LIMITS, ImageLimits, ImageSource, Source, read_source
from ...runtime.describing import Description
from ...runtime.engine import Engine
from ...runtime.generation_settings import GenerationSettings
from ...runtime.model import ALONE, Model, at_least_one, several
from ...runtime.similarity import Queries
from ...runtime.tuned import read_tuned
from ..caller import ANONYMOUS, Caller
from ..work import (
    Ask,
    Classify,
    Describe,
    EmbedImage,
    EmbedQuery,
    EmbedText,
    EmbedViews,
    Ground,
    Job,
    Match,
    Models,
    RunGraph,
    Task,
)
from ..workers.settings import WorkerSettings

Floats = NDArray[np.float32]
_AT_ONCE = 64  # jobs of one call that wait together, so that a long list never fills the queue


@dataclass(frozen=True)
class Asker:
    """Asks the scheduler from another thread than its event loop's: which model, for whom, for how long."""

    models: Models
    loop: Callable[[], asyncio.AbstractEventLoop]
    name: str
    caller: Caller = ANONYMOUS
    seconds: float = 30.0

    def values(self, tasks: Sequence[Task]) -> list[Any]:
        """What was answered, in order. Raises the first error there is, and Overloaded."""
        values: list[Any] = []
        for start in range(0, len(tasks), _AT_ONCE):
            part = tasks[start : start + _AT_ONCE]
            jobs = [Job(task, self.name, self.caller, seconds=self.seconds) for task in part]
            outcomes = asyncio.run_coroutine_threadsafe(self.models.answer(jobs), self.loop()).result()
            values += [outcome.get() for outcome in outcomes]
        return values


class ScheduledModel(Model):
    """As the model of its bundle, but no graph is loaded here: all of them run where the scheduler has them run.

    What is asked for whole goes as one job. What is asked for in parts, as by a model that remembers, or comes as an
    array or a Pillow image, is decoded here and has its graphs run there. Raises also what the scheduler raises. To be
    used from any thread but that of the scheduler's event loop, which it waits for.
    """

    def __init__(self, asker: Asker, bundle: Bundle, **settings: Any) -> None:
        super().__init__(bundle, **settings)
        self._asker = asker

    def embed_images(self, images: Iterable[ImageSource], batch_size: int | None = None) -> Floats:
        size = at_least_one("batch_size", self.batch_size if batch_size is None else batch_size)
        sources = several(images, "pictures", alone=ALONE)
        contents = [content for source in sources if (content := self._content(source)) is not None]
        if len(contents) < len(sources) or not sources:
            return super().embed_images(sources, size)
        return np.stack(self._asker.values([EmbedImage(content) for content in contents]))

    def embed_views(self, image: ImageSource) -> Floats:
        content = self._content(image)
        return super().embed_views(image) if content is None else self._answer(EmbedViews(content))

    def embed_texts(self, texts: Iterable[str], batch_size: int = 32) -> Floats:
        sentences = several(texts, "texts", alone=(str, bytes))
        found = self._asker.values([EmbedText(text) for text in sentences])
        return np.stack(found) if found else super().embed_texts([])

    def embed_queries(self, texts: Iterable[str], batch_size: int = 32) -> Queries:
        sentences = several(texts, "texts", alone=(str, bytes))
        found = self._asker.values([EmbedQuery(text) for text in sentences])
        return Queries.joined(found) if found else super().embed_queries([])

    def classify(self, image: ImageSource, labels: Iterable[str]) -> dict[str, float]:
        names, content = self.labels(labels), self._content(image)
        return super().classify(image, names) if content is None else self._answer(Classify(content, tuple(names)))

    def ground(self, image: ImageSource, text: str) -> Grounding:
        content = self._content(image)
        return super().ground(image, text) if content is None else self._answer(Ground(content, text))

    def ask(self, image: ImageSource, question: str, choices: Iterable[str] | None = None) -> Answer:
        named = None if choices is None else tuple(several(choices, "labels", alone=(str,)))
        content = self._content(image)
        return super().ask(image, question, named) if content is None else self._answer(Ask(content, question, named))

    def describe(
        self, image: ImageSource, prompt: str | None = None, settings: GenerationSettings | None = None
    ) -> Description:
        content = self._content(image)
        if content is None or prompt is not None or settings is not None:
            return super().describe(image, prompt, settings)
        described: Description = self._answer(Describe(content))
        return described

    def match(self, image: ImageSource, texts: Iterable[str]) -> Floats:
        sentences, content = several(texts, "texts", alone=(str, bytes)), self._content(image)
        return super().match(image, sentences) if content is None else self._answer(Match(content, tuple(sentences)))

    def _answer(self, task: Task) -> Any:
        return self._asker.values([task])[0]

    def _content(self, image: ImageSource) -> bytes | None:
        """A picture's file as bytes; None for pixels, which have no file. ImageError where it cannot be read."""
        if not isinstance(image, Source | bytes | str | os.PathLike):
            return None
        content = read_source(image, self.limits).content
        return content if isinstance(content, bytes) else None

    def _load(self, task: str) -> Engine:
        return _RemoteEngine(self._asker, task)


class _RemoteEngine(Engine):
    """A graph that runs elsewhere."""

    def __init__(self, asker: Asker, graph: str) -> None:
        self._asker, self._graph = asker, graph

    def run(self, **inputs: NDArray[Any]) -> Floats:
        return self.outputs((), **inputs)[0]

    def outputs(self, names: Sequence[str], **inputs: NDArray[Any]) -> list[Floats]:
        return list(self._asker.values([RunGraph(self._graph, tuple(names), inputs)])[0])


def scheduled_model(
    bundle: Bundle | str | Path, asker: Asker, settings: WorkerSettings, limits: ImageLimits = DEFAULT_LIMITS
) -> ScheduledModel:
    """The model of a bundle, also by its path or shipped name, with the settings that the workers loaded it with.

    With an open bundle, one more for another caller costs next to nothing. Raises BundleError.
    """
    opened = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    return ScheduledModel(
        asker,
        opened,
        limits=limits,
        precision=settings.precision,
        engine=settings.engine,
        tuned=read_tuned(opened),
    )
