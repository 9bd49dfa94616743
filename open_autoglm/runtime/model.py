"""The model at run time: pictures and texts to vectors of the shared space, answers and descriptions.

It joins a bundle's graphs, preprocessing and calibration; it knows nothing about PyTorch, indexes or serving.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from open_autoglm import __version__
from open_autoglm.bundle import MANIFEST, Bundle, Graph, sha256
from open_autoglm.errors import BundleError, SettingError

from .answers import Answer, Answering, Grounding
from .asking import AlignmentAnswers
from .calibration import Calibration, Match
from .classifying import check_labels, classified
from .describing import Describing, Description
from .engine import Engine
from .engines import DEFAULT, check_engine
from .fusion import FusionAnswering
from .generation_settings import GenerationSettings
from .images import ImageLimits, ImageSource, Preprocessing, prepare
from .matching import Matching
from .processor import NO_VNNI, lacks_vnni
from .similarity import Queries, Similarity, Words, read_similarity
from .text import TextTokenizer
from .tuned import Tuned, digest, read_tuned
from .vocabulary import Vocabulary

Floats = NDArray[np.float32]
T = TypeVar("T")
ALONE = (str, bytes, os.PathLike, np.ndarray, Image)  # single pictures, which are no list of them
# Pictures embedded at once, where nothing was tuned: more of them take memory and no less time each.
BATCH = 4


class Model:
    """A bundle, ready to use; its graphs are loaded when first needed. Safe to use from several threads.

    ``precision`` picks a graph by name (``fp32``, ``int8``) where a task has several; ``threads`` bounds the cores one
    call may use; ``engine`` is what runs the graphs (``onnxruntime``, ``openvino``). Each of them that is given wins
    over what was ``tuned`` for this machine. By default the bundle says which precision is preferred, and a processor
    that int8 graphs would lose numbers on takes ``fp32``.
    """

    def __init__(
        self,
        bundle: Bundle,
        limits: ImageLimits | None = None,
        precision: str | None = None,
        threads: int | None = None,
        engine: str | None = None,
        tuned: Tuned | None = None,
    ) -> None:
        manifest = bundle.manifest
        known = sorted({name for graphs in manifest.graphs.values() for name in graphs})
        if precision is not None and precision not in known:
            raise SettingError(f"{bundle.path} has no graph of precision {precision!r}; it has {', '.join(known)}.")
        if threads is not None:
            at_least_one("threads", threads)
        if engine is not None:
            check_engine(engine)
        self.bundle = bundle
        self.name = manifest.name
        self.space = manifest.space
        self.dimension = manifest.dimension
        self.views = manifest.views
        self.limits = limits or ImageLimits()
        self._precision = precision
        self._threads = threads
        self._kind = engine
        self._tuned = tuned.tasks if tuned else {}
        self.batch_size = tuned.batch_size if tuned else BATCH
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

    def embed_images(self, images: Iterable[ImageSource], batch_size: int | None = None) -> Floats:
        """Unit vectors [n, dimension] of whole pictures, ``batch_size`` of them at once.

        ImageError names the first that cannot be used.
        """
        batch_size = self.batch_size if batch_size is None else batch_size
        sources = several(images, "pictures", alone=ALONE)
        vectors = [
            self.embed_prepared(np.stack([self.prepare(image) for image in sources[start : start + batch_size]]))[:, 0]
            for start in range(0, len(sources), at_least_one("batch_size", batch_size))
        ]
        return np.concatenate(vectors) if vectors else np.zeros((0, self.dimension), np.float32)

    def prepare(self, image: ImageSource) -> NDArray[np.uint8]:
        """A picture as the graph takes it, [height, width, 3]; ImageError where it cannot be used."""
        return prepare(image, self.preprocessing, self.limits)

    def embed_prepared(self, pixels: NDArray[np.uint8]) -> Floats:
        """Unit vectors [n, views, dimension] of prepared pictures [n, height, width, 3]: the whole, then regions."""
        return self._engine("image").run(pixels=pixels)

    def embed_views(self, image: ImageSource) -> Floats:
        """Unit vectors [views, dimension] of one picture: the whole, then regions."""
        views: Floats = self.embed_prepared(self.prepare(image)[None])[0]
        return views

    def embed_cells(self, pixels: NDArray[np.uint8]) -> Floats:
        """Cells [n, cells, dimension] of pictures as the graph of cells takes them; ``seeing`` says what they are."""
        return self._engine("cells").run(pixels=pixels)

    def embed_texts(self, texts: Iterable[str], batch_size: int = 32) -> Floats:
        """Unit vectors [n, dimension] of sentences; long ones are cut. TextError names an empty or unknown one."""
        return self._embed_texts(texts, batch_size, words=False).vectors

    def embed_queries(self, texts: Iterable[str], batch_size: int = 32) -> Queries:
        """As ``embed_texts``, with the sentences' words where ``similarity`` compares those."""
        return self._embed_texts(texts, batch_size, words=self.similarity.needs_parts)

    def classify(self, image: ImageSource, labels: Iterable[str]) -> dict[str, float]:
        """The calibrated probability of each label, and of "none of these"; they add up to 1, the best first.

        Raises SettingError for labels that are missing, given twice or reserved, TextError for one without a known
        word. A model without calibration compares the labels with each other only.
        """
        names = self.labels(labels)
        return classified(self, names, self.embed_views(image))

    def labels(self, labels: Iterable[str]) -> list[str]:
        """Labels to choose from, checked. Raises as ``classify``."""
        names = [
            str(label) if isinstance(label, np.str_) else label for label in several(labels, "labels", alone=(str,))
        ]
        if names:
            self._tokenizer.encode(names)  # in the template even an empty label would have words
        check_labels(names)
        return names

    def ground(self, image: ImageSource, text: str) -> Grounding:
        """Where in a picture a text is; SettingError for a model whose picture tower has no map."""
        return AlignmentAnswers(self).ground(image, text)

    def ask(self, image: ImageSource, question: str, choices: Iterable[str] | None = None) -> Answer:
        """The answer to a question about a picture, one of ``choices`` where given; its text is None if unsure."""
        return self.answering.ask(image, question, choices)

    def verify(self, image: ImageSource, statement: str) -> float:
        """The calibrated probability that a statement is true of a picture."""
        return self.answering.verify(image, statement)

    def describe(
        self, image: ImageSource, prompt: str | None = None, settings: GenerationSettings | None = None
    ) -> Description:
        """A picture in words, or what follows a ``prompt`` about it, such as a question; see ``Describing``."""
        return self.describing.describe(image, prompt, settings or GenerationSettings())

    def match(self, image: ImageSource, texts: Iterable[str]) -> Floats:
        """The probability [t] that each text belongs to a picture. SettingError for a model not trained to match."""
        return self.matching.match(image, several(texts, "texts", alone=(str, bytes)))

    def cutoff(self, queries: Floats) -> Floats:
        """For text vectors [q, dimension], the search score [q] below which a picture does not match."""
        return self.calibration.cutoff(Match.BEST_VIEW, queries)

    def run_graph(self, task: str, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[Floats]:
        """The outputs of one of the bundle's graphs, by name; the first one where none is named."""
        engine = self._engine(task)
        return engine.outputs(outputs, **inputs) if outputs else [engine.run(**inputs)]

    def _embed_texts(self, texts: Iterable[str], batch_size: int, words: bool) -> Queries:
        sentences = several(texts, "texts", alone=(str, bytes))
        encodings = self._tokenizer.encode(sentences) if sentences else []
        order = np.argsort([len(encoding.ids) for encoding in encodings], kind="stable")
        parts = [Queries.none(self.dimension, words)]
        for start in range(0, len(order), at_least_one("batch_size", batch_size)):
            rows = order[start : start + batch_size]
            ids, mask = self._tokenizer.batch([encodings[row] for row in rows])
            names = ("vectors", "words") if words else ("vectors",)
            vectors, *inner = self._engine("text").outputs(names, input_ids=ids, attention_mask=mask)
            parts.append(Queries(vectors))
            if words:
                shown = tuple(self._tokenizer.written(sentences[row], encodings[row], mask.shape[1]) for row in rows)
                parts[-1] = Queries(vectors, Words(inner[0], mask.astype(np.bool_), shown))
        return Queries.joined(parts)[np.argsort(order)]

    @cached_property
    def fingerprint(self) -> str:
        """Names all that the model's numbers depend on: what is kept under it is good for no other model.

        The space and this program, the bundle's manifest with every file's sha256, the graphs chosen, the limits.
        """
        chosen = {task: (choice.engine, choice.precision) for task, choice in self._tuned.items()}
        settings = [self._precision, self._kind, chosen, lacks_vnni(), asdict(self.limits)]
        facts = [__version__, sha256(self.bundle.path / MANIFEST), settings]
        return f"{self.space}-{digest(facts)}"

    @cached_property
    def similarity(self) -> Similarity:
        """How sentences are compared with pictures, as the model was trained."""
        return read_similarity(self.bundle)

    @cached_property
    def calibration(self) -> Calibration:
        """What a score means, as measured when the bundle was made."""
        return Calibration.read(self.bundle)

    @cached_property
    def fusion(self) -> FusionAnswering:
        """The fusion decoder. SettingError for a model that has none."""
        if not self.bundle.manifest.fusion:
            raise SettingError(f"{self.name} has no fusion decoder, which answers: use another bundle.")
        return FusionAnswering(self.bundle, self.preprocessing, self.limits, self._tokenizer, self._engine)

    @cached_property
    def answering(self) -> Answering:
        """What answers questions: the fusion decoder where it has answers, otherwise the shared space."""
        return self.fusion if self.bundle.manifest.fusion.get("answers") else AlignmentAnswers(self)

    @cached_property
    def matching(self) -> Matching:
        """What tells whether a text belongs to a picture. SettingError for a model that was not trained to."""
        return Matching(self)

    @cached_property
    def describing(self) -> Describing:
        """The decoder that writes. SettingError for a model that has none."""
        if not self.bundle.manifest.generation:
            raise SettingError(f"{self.name} has no decoder that writes: train one, with task: describe in the recipe.")
        return Describing(self.bundle, self.preprocessing, self.limits, self._engine)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The names of things that the bundle knows."""
        return Vocabulary.read(self.bundle)

    @cached_property
    def known_names(self) -> frozenset[str]:
        """The vocabulary's names in lower case."""
        return frozenset(name.lower() for name in self.vocabulary.names)

    @cached_property
    def _tokenizer(self) -> TextTokenizer:
        return TextTokenizer(self.bundle.path / "tokenizer.json", **self._text)

    def _engine(self, task: str) -> Engine:
        with self._loading:
            if task not in self._engines:
                self._engines[task] = self._load(task)
            return self._engines[task]

    def _load(self, task: str) -> Engine:
        tuned = self._tuned.get(task)
        threads, kind = (tuned.threads, tuned.engine) if tuned else (None, DEFAULT)
        graph = self._graph(task, tuned.precision if tuned else None)
        return Engine(self.bundle, graph, self._threads or threads, self._kind or kind)

    def _graph(self, task: str, tuned: str | None) -> Graph:
        """The graph of the precision asked for, if the task has one; else the tuned one, or the default.

        Vectors of all precisions of a bundle lie in one space: each is close enough to fp32, by its parity record, for
        an index of one to be searched by the other.
        """
        there = self.bundle.manifest.graphs.get(task, {})
        if self._precision in there:
            return self.bundle.graph(task, self._precision)
        if tuned in there:
            return self.bundle.graph(task, tuned)
        graph = self.bundle.graph(task, default_precision(self.bundle, task))
        if graph is not self.bundle.graph(task):
            warnings.warn(NO_VNNI, RuntimeWarning, stacklevel=2)
        return graph


def default_precision(bundle: Bundle, task: str) -> str:
    """What a task's graph runs in on this machine where nobody chose: what the bundle prefers, or fp32 without VNNI."""
    preferred, there = bundle.graph(task), bundle.manifest.graphs[task]
    if "fp32" in there and preferred is there.get("int8") and lacks_vnni():
        return "fp32"
    return next(name for name, graph in there.items() if graph is preferred)


def several(values: Iterable[T], what: str, alone: tuple[type, ...]) -> list[T]:
    """A list of what was given; SettingError for a single one, which would be taken apart, and for nothing at all."""
    if isinstance(values, alone) or not isinstance(values, Iterable):
        raise SettingError(f"A list of {what} was expected, not {type(values).__name__}: put a single one into [ ].")
    return list(values)


def at_least_one(name: str, value: int) -> int:
    """The value, if it is a whole number of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise SettingError(f"{name} is {value!r}: it must be a whole number of at least 1.")
    return value


def load(name: str | os.PathLike[str] = "open-autoglm-base", **settings: Any) -> Model:
    """Opens a bundle, by directory or shipped name, as a Model; ``settings`` are the Model's own.

    What ``autoglm tune`` chose for it on this machine is used. Raises BundleError when it is missing, damaged, foreign
    or newer than this program.
    """
    bundle = Bundle.open(name)
    return Model(bundle, **{"tuned": read_tuned(bundle), **settings})
