"""Answers and matches by a fusion decoder: a sentence's words look at the picture's regions.

It knows a bundle's graphs for it; it knows nothing about how questions are read from a command line or a page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle
from open_autoglm.errors import SettingError

from .answers import Answer, Grounding
from .decoding import ImageLimits, ImageSource
from .detector import bundled
from .engine import Engine
from .images import Preprocessing, prepare, seen
from .proposals import make_proposer
from .remembering import FORGETFUL, Memory
from .text import TextTokenizer

Floats = NDArray[np.float32]
TRUE, FALSE = ("true", "yes"), ("false", "no")
CELLS = 32  # of a heat map's longer side
NOTHING = 0.01  # what an answer rests on a region for it to be named
FOUND = 0.5  # what it rests on all of them together for the heat map to show where most; else it stays faint


@dataclass(frozen=True)
class Looked:
    """A picture's regions: ``boxes`` [k, 4], fractions of what the model sees; ``prepared`` [1, k, width]."""

    boxes: Floats
    prepared: Floats


class FusionAnswering:
    """``engine`` gives the graph of a task; ``propose`` and the answers are the bundle's."""

    def __init__(
        self,
        bundle: Bundle,
        preprocessing: Preprocessing,
        limits: ImageLimits,
        tokenizer: TextTokenizer,
        engine: Callable[[str], Engine],
        memory: Memory = FORGETFUL,
    ) -> None:
        facts, calibration = bundle.manifest.fusion, bundle.manifest.calibration.get("answers", {})
        self.answers: tuple[str, ...] = tuple(facts["answers"])
        self.matches = bool(facts.get("match", False))
        self.propose = make_proposer(facts["proposals"], bundled(bundle, engine))
        self.temperature = float(calibration.get("temperature", 1.0))
        self.least = float(calibration.get("least_confidence", 0.0))
        self._preprocessing, self._limits, self._tokenizer, self._engine = preprocessing, limits, tokenizer, engine
        self._memory = memory

    def remembering(self, memory: Memory) -> FusionAnswering:
        """The same, with the same graphs, that asks ``memory`` first."""
        twin = copy(self)
        twin._memory = memory
        return twin

    def ask(self, image: ImageSource, question: str, choices: Iterable[str] | None = None) -> Answer:
        """One of the answers that the model was trained with, or of ``choices`` among them.

        Raises SettingError for a choice that it does not know, TextError for an empty question, ImageError.
        """
        places = self._places(choices)
        looked = self.look_at(image)
        logits, rests = self._judge(image, looked, question)
        chances = softmax(logits[:, places] / self.temperature)[0]
        best = int(chances.argmax())
        confidence = float(chances[best])
        text = self.answers[places[best]] if confidence >= self.least else None
        return Answer(text, confidence, self._regions(image, looked.boxes, rests[0]))

    def verify(self, image: ImageSource, statement: str) -> float:
        """The probability of "true" or "yes". SettingError for a model that was not trained to say so."""
        sides = self._sides()
        logits, _ = self._judge(image, self.look_at(image), statement)
        return float(self._truth(logits, *sides)[0])

    def chances_of_truth(self, looked: Looked, statements: Sequence[str]) -> Floats:
        """The probabilities [q] that statements are true of one picture."""
        sides = self._sides()
        logits, _ = self.judge(looked, statements)
        return self._truth(logits, *sides)

    def prepare(self, image: ImageSource) -> NDArray[np.uint8]:
        """The picture as the model sees it."""
        return prepare(image, self._preprocessing, self._limits)

    def look(self, pixels: NDArray[np.uint8]) -> Looked:
        """A prepared picture's regions; a second question about it needs no second look."""
        boxes = self.propose(pixels)
        mask = np.ones((1, len(boxes)), np.bool_)
        prepared = self._engine("regions").run(pixels=pixels[None], boxes=boxes[None], mask=mask)
        return Looked(boxes, prepared)

    def look_at(self, image: ImageSource) -> Looked:
        """A picture's regions, from memory where it knows them."""
        return self._memory.recall(image, ("looked",), lambda: self.look(self.prepare(image)))

    def judge(self, looked: Looked, questions: Sequence[str]) -> tuple[Floats, Floats]:
        """Logits [q, answers] of questions about one picture, and how much each rests on its regions, [q, k]."""
        logits, rests = self._judged(("answers", "rests"), looked, questions)
        return logits, rests

    def match(self, looked: Looked, texts: Sequence[str]) -> Floats:
        """Logits [t] that texts match one picture. SettingError for a model that was not trained to tell."""
        if not self.matches:
            raise SettingError("This model was not trained to match: take a bundle that was trained with task: match.")
        return self._judged(("match",), looked, texts)[0]

    def _judge(self, image: ImageSource, looked: Looked, sentence: str) -> tuple[Floats, Floats]:
        """As ``judge`` for one sentence: what words and regions came to together is the same whatever is asked."""
        return self._memory.recall(image, ("judged", sentence), lambda: self.judge(looked, [sentence]))

    def _sides(self) -> tuple[list[int], list[int]]:
        """The places of the answers that mean true, and of those that mean false."""
        true, false = (
            [place for place, answer in enumerate(self.answers) if answer.casefold() in words]
            for words in (TRUE, FALSE)
        )
        if not true or not false:
            known = ", ".join(self.answers[:5])
            raise SettingError(f"This model does not tell true from false: its answers are {known}, ...; use ask.")
        return true, false

    def _truth(self, logits: Floats, true: list[int], false: list[int]) -> Floats:
        chances: Floats = softmax(logits[:, [*true, *false]] / self.temperature)[:, : len(true)].sum(axis=1)
        return chances

    def _judged(self, outputs: Sequence[str], looked: Looked, sentences: Sequence[str]) -> list[Floats]:
        ids, attention = self._tokenizer.batch(self._tokenizer.encode(sentences))
        count = len(sentences)
        return self._engine("answer").outputs(
            outputs,
            prepared=np.repeat(looked.prepared, count, axis=0),
            mask=np.ones((count, len(looked.boxes)), np.bool_),
            input_ids=ids,
            attention_mask=attention,
        )

    def _places(self, choices: Iterable[str] | None) -> list[int]:
        if not self.answers:
            raise SettingError("This model was trained to match pictures and texts, and has no answers to choose from.")
        if choices is None:
            return list(range(len(self.answers)))
        if isinstance(choices, str) or not (choices := list(choices)):
            raise SettingError("choices is a list of at least one answer: put a single one into [ ].")
        known = {answer.casefold(): place for place, answer in enumerate(self.answers)}
        for choice in choices:
            if choice.casefold() not in known:
                shown = ", ".join(self.answers[:8]) + (", ..." if len(self.answers) > 8 else "")
                raise SettingError(f"{choice!r} is none of this model's answers: they are {shown}.")
        return [known[choice.casefold()] for choice in choices]

    def _regions(self, image: ImageSource, boxes: Floats, rests: Floats) -> Grounding:
        order = np.argsort(-rests, kind="stable")
        order = order[rests[order] >= NOTHING]
        left, top, right, bottom = seen(image, self._preprocessing, self._limits)
        scale = np.array([right - left, bottom - top] * 2, np.float32)
        pixels = boxes[order] * scale + np.array([left, top] * 2, np.float32)
        return Grounding(pixels.astype(np.float32), rests[order], painted(boxes, rests))


def softmax(logits: Floats) -> Floats:
    """Probabilities [..., n] of logits [..., n]."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances: Floats = weights / weights.sum(axis=-1, keepdims=True)
    return chances


def painted(boxes: Floats, weights: Floats) -> Floats:
    """Each cell's largest weight of the boxes [k, 4], fractions, that cover it; [CELLS, CELLS].

    The highest is 1, except where the weights say that there was hardly anything to rest on.
    """
    heat = np.zeros((CELLS, CELLS), np.float32)
    for (left, top, right, bottom), weight in zip(boxes, weights, strict=True):
        rows = slice(int(top * CELLS), max(int(top * CELLS) + 1, round(bottom * CELLS)))
        columns = slice(int(left * CELLS), max(int(left * CELLS) + 1, round(right * CELLS)))
        heat[rows, columns] = np.maximum(heat[rows, columns], weight)
    return heat / float(heat.max()) if weights.sum() >= FOUND else heat
