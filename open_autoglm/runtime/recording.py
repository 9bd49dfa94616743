"""What a bundle's graphs are asked when a user searches, asks or describes: one real call of each graph.

It knows what the model is used for; it knows nothing about engines or time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from open_autoglm.bundle import Bundle

from .engine import Engine
from .generation_settings import GenerationSettings
from .model import Model, default_precision
from .seeing import see

SENTENCE = "two red apples and a yellow banana on a wooden table"  # 14 tokens of most tokenizers
WIDTH, HEIGHT, FIELDS = 640, 480, 7


@dataclass(frozen=True)
class Call:
    """The outputs that were wanted of a graph, and its inputs."""

    names: tuple[str, ...]
    inputs: Mapping[str, NDArray[Any]]

    def __call__(self, engine: Engine) -> list[NDArray[np.float32]]:
        """Asks an engine the same."""
        return engine.outputs(self.names, **self.inputs)

    def repeated(self, count: int) -> Call:
        """Of ``count`` pictures at once, where the first axis of every input is that of pictures."""
        return Call(self.names, {name: np.repeat(one, count, axis=0) for name, one in self.inputs.items()})


class RecordingEngine(Engine):
    """Remembers what a graph was asked last."""

    call = Call((), {})

    def outputs(self, names: Sequence[str], **inputs: NDArray[Any]) -> list[NDArray[np.float32]]:
        self.call = Call(tuple(names), {name: np.array(one) for name, one in inputs.items()})
        return super().outputs(names, **inputs)


class RecordingModel(Model):
    """Runs its graphs as they are by default, and remembers what they were asked."""

    def _load(self, task: str) -> Engine:
        return RecordingEngine(self.bundle, self.bundle.graph(task, default_precision(self.bundle, task)))

    def recorded(self) -> dict[str, Call]:
        """The calls by task."""
        return {task: engine.call for task, engine in self._engines.items() if isinstance(engine, RecordingEngine)}


def recorded_calls(bundle: Bundle) -> dict[str, Call]:
    """One call of every graph that the model's own use comes by: a picture, a sentence, a question, a few words."""
    model, picture, facts = RecordingModel(bundle), some_picture(), bundle.manifest
    if "image" in facts.graphs:
        see(model, picture)
    if "text" in facts.graphs:
        model.embed_texts([SENTENCE])
    if facts.fusion:
        fusion = model.fusion
        looked = fusion.look(fusion.prepare(picture))
        if fusion.matches:
            fusion.match(looked, [SENTENCE])
        else:
            fusion.judge(looked, [SENTENCE])
    if facts.generation:
        model.describe(picture, settings=GenerationSettings(max_new_tokens=8))
    return model.recorded()


def some_picture() -> Image.Image:
    """Fields of colour, more like a photograph than noise is."""
    fields = np.random.default_rng(0).integers(0, 256, (FIELDS, FIELDS, 3), np.uint8)
    return Image.fromarray(fields).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
