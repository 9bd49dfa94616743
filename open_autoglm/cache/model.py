"""A model that remembers: vectors, what was seen of a picture, and finished answers are computed once.

It knows what of a model's work can be used again and by what name; it knows nothing about tiers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from itertools import takewhile
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ..runtime.answers import Answer, Answering, Grounding
from ..runtime.asking import AlignmentAnswers
from ..runtime.classifying import classified
from ..runtime.decoding import ImageSource, Source, read_source
from ..runtime.describing import Describing, Description
from ..runtime.fusion import FusionAnswering
from ..runtime.generation_settings import GenerationSettings
from ..runtime.matching import Matching
from ..runtime.model import ALONE, Model, at_least_one, several
from ..runtime.similarity import Queries
from .keys import Key
from .prefix_cache import PrefixCache

Floats = NDArray[np.float32]
T = TypeVar("T")
DEFAULT_TENANT = "default"


def remembering(model: Model, cache: PrefixCache, tenant: str = DEFAULT_TENANT) -> Model:
    """The same model for one tenant, who is given what was computed for them before, and nothing of anybody else's.

    Making one costs nothing: its graphs are the model's own. What it gives is not to be changed.
    """
    return cast(Model, CachedModel(model, cache, tenant))


class CachedModel:
    """In a model's place: it does as the model does, with the same errors, and asks the cache first.

    Keys are ``fingerprint:tenant:image:<sha256 of the picture>:...`` and ``fingerprint:tenant:text:<sha256>``.
    """

    def __init__(self, model: Model, cache: PrefixCache, tenant: str) -> None:
        self._model, self._cache = model, cache
        self._root = Key.of(model.fingerprint, tenant)

    def __getattr__(self, name: str) -> Any:
        """What is not remembered, the model knows."""
        return getattr(self._model, name)

    def embed_images(self, images: Iterable[ImageSource], batch_size: int | None = None) -> Floats:
        size = at_least_one("batch_size", self._model.batch_size if batch_size is None else batch_size)
        sources = several(images, "pictures", alone=ALONE)
        wholes = [np.zeros((0, self._model.dimension), np.float32)]
        for start in range(0, len(sources), size):
            wholes += [views[None, 0] for views in self._views(sources[start : start + size])]
        return np.concatenate(wholes)

    def embed_views(self, image: ImageSource) -> Floats:
        return self._views([image])[0]

    def embed_texts(self, texts: Iterable[str], batch_size: int = 32) -> Floats:
        return self.embed_queries(texts, batch_size).vectors

    def embed_queries(self, texts: Iterable[str], batch_size: int = 32) -> Queries:
        sentences = several(texts, "texts", alone=(str, bytes))
        # All of them under one key: int8 graphs give a sentence other numbers beside other sentences.
        key = self._root.below("text", digest(json.dumps([sentences, batch_size], default=repr)))
        found: list[Queries] = self._cache.get_or_compute(
            [key], lambda _: [self._model.embed_queries(sentences, batch_size)]
        )
        return found[0]

    def classify(self, image: ImageSource, labels: Iterable[str]) -> dict[str, float]:
        names = self._model.labels(labels)
        return classified(self._as_model, names, self.embed_views(image))

    def ground(self, image: ImageSource, text: str) -> Grounding:
        return self._finished(image, ("ground", text), lambda source: self._alignment.ground(source, text))

    def ask(self, image: ImageSource, question: str, choices: Iterable[str] | None = None) -> Answer:
        named = choices if choices is None or isinstance(choices, str) else list(choices)
        request = ("ask", question, named)
        return self._finished(image, request, lambda source: self.answering.ask(source, question, named))

    def verify(self, image: ImageSource, statement: str) -> float:
        return self._finished(image, ("verify", statement), lambda source: self.answering.verify(source, statement))

    def describe(
        self, image: ImageSource, prompt: str | None = None, settings: GenerationSettings | None = None
    ) -> Description:
        wanted = settings or GenerationSettings()
        if wanted.do_sample and wanted.seed is None:
            return self.describing.describe(self._source(image), prompt, wanted)
        request = ("describe", prompt, asdict(wanted))
        return self._finished(image, request, lambda source: self.describing.describe(source, prompt, wanted))

    def match(self, image: ImageSource, texts: Iterable[str]) -> Floats:
        return self.matching.match(self._source(image), several(texts, "texts", alone=(str, bytes)))

    def recall(self, image: ImageSource, about: Sequence[str], compute: Callable[[], T]) -> T:
        """As ``Memory`` says."""
        found: T = self._cache.get_or_compute([self._key(image, about)], lambda _: [compute()])[0]
        return found

    def recall_run(
        self, image: ImageSource, abouts: Sequence[Sequence[str]], compute: Callable[[list[T]], list[T]]
    ) -> list[T]:
        """As ``Memory`` says."""
        keys = [self._key(image, about) for about in abouts]
        there = self._cache.get(keys)
        known: list[T] = [there[key] for key in takewhile(there.__contains__, keys)]
        if len(known) == len(keys):
            return known
        rest = compute(known)
        self._cache.put(dict(zip(keys[len(known) :], rest, strict=True)))
        return known + rest

    @cached_property
    def fusion(self) -> FusionAnswering:
        return self._model.fusion.remembering(self)

    @cached_property
    def answering(self) -> Answering:
        return self.fusion if isinstance(self._model.answering, FusionAnswering) else self._alignment

    @cached_property
    def matching(self) -> Matching:
        return Matching(self._as_model)

    @cached_property
    def describing(self) -> Describing:
        return self._model.describing.remembering(self)

    @cached_property
    def _alignment(self) -> AlignmentAnswers:
        return AlignmentAnswers(self._as_model, self)

    @property
    def _as_model(self) -> Model:
        return cast(Model, self)

    def _views(self, images: Sequence[ImageSource]) -> list[Floats]:
        """The vectors [views, d] of each picture."""
        sources = [self._source(image) for image in images]
        named = {self._key(source, ("views",)): source for source in sources}

        def compute(missing: list[Key]) -> list[Floats]:
            pixels = np.stack([self._model.prepare(named[key]) for key in missing])
            return list(self._model.embed_prepared(pixels))

        return self._cache.get_or_compute([self._key(source, ("views",)) for source in sources], compute)

    def _finished(self, image: ImageSource, request: Sequence[Any], compute: Callable[[Source], T]) -> T:
        source = self._source(image)
        return self.recall(source, ("answer", json.dumps(request, default=repr)), lambda: compute(source))

    def _key(self, image: ImageSource, about: Sequence[str]) -> Key:
        kind, *rest = about
        name = (kind, digest(json.dumps(rest))) if rest else (kind,)
        return self._root.below("image", self._source(image).digest, *name)

    def _source(self, image: ImageSource) -> Source:
        return read_source(image, self._model.limits)


def digest(text: str) -> str:
    """A name for a text, whatever its length and letters."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
