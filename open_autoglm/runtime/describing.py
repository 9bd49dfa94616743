"""Describes a picture in words, or goes on from a prompt about it, with the decoder of a bundle.

It knows a bundle's graphs for it; it knows nothing about how a prompt is read from a command line or a page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_autoglm.bundle import Bundle

from .decoding import ImageLimits, ImageSource
from .engine import Engine
from .generating import Generated, Rules, Tokens, generate
from .generation_settings import GenerationSettings
from .images import Preprocessing, prepare
from .lexicon import END, NEVER, Lexicon
from .proposals import make_proposer
from .remembering import FORGETFUL, Memory
from .wording import Wording

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Description:
    """What was written, without the prompt.

    ``tokens``: how many. ``confidence``: the geometric mean of their probabilities, in 0..1: how sure the model was of
    its words, which is not how true they are. ``ended``: False where a limit cut the text off.
    """

    text: str
    tokens: int
    confidence: float
    ended: bool


class GraphSteps:
    """The decoder's graph and one picture's ``context`` as ``generating.Steps``, for texts of ``room`` tokens at most.

    What is kept of each token is written behind that of the one before: the past is never copied. ``begun``: what was
    kept [each] of the first tokens, which need not come again.
    """

    def __init__(self, decode: Engine, context: Floats, room: int, begun: Sequence[Floats] = ()) -> None:
        _, regions, each = context.shape
        self._decode, self._context, self._mask = decode, context, np.ones((1, regions), np.bool_)
        self._kept, self._length = np.empty((room, 1, each), np.float32), len(begun)
        if begun:
            self._kept[: len(begun), 0] = begun

    def step(self, tokens: Tokens) -> Floats:
        past = self._kept[: self._length]
        logits, kept = self._decode.outputs(
            ("logits", "kept"), tokens=tokens, past=past, context=self._context, mask=self._mask
        )
        self._kept[self._length : self._length + len(kept)] = kept
        self._length += len(kept)
        return logits

    def keep(self, rows: Tokens) -> None:
        self._kept = self._kept.take(rows, axis=1)

    def kept(self, start: int) -> list[Floats]:
        """What is kept [each] of the tokens from ``start`` on, of the first text."""
        return list(self._kept[start : self._length, 0])


class Describing:
    """``engine`` gives the graph of a task; words, proposals and limits are the bundle's."""

    def __init__(
        self,
        bundle: Bundle,
        preprocessing: Preprocessing,
        limits: ImageLimits,
        engine: Callable[[str], Engine],
        memory: Memory = FORGETFUL,
    ) -> None:
        facts = bundle.manifest.generation
        self.propose = make_proposer(facts["proposals"])
        self.most_tokens = int(facts["most_tokens"])
        self.wording = Wording(bundle.path / "tokenizer.json", Lexicon(facts["tokens"]))
        self._preprocessing, self._limits, self._engine, self._memory = preprocessing, limits, engine, memory

    def remembering(self, memory: Memory) -> Describing:
        """The same, with the same graphs, that asks ``memory`` first."""
        twin = copy(self)
        twin._memory = memory
        return twin

    def describe(self, image: ImageSource, prompt: str | None, settings: GenerationSettings) -> Description:
        """A text about a picture that begins with ``prompt``.

        Raises TextError for a prompt without a known word, SettingError for one that leaves no room, ImageError.
        """
        begun = self.wording.prompt(prompt)
        rules = Rules.fitting(END, NEVER, self.most_tokens, len(begun) - 1, settings)
        context = self._memory.recall(image, ("context",), lambda: self.look(self.prepare(image)))
        found = self._write(image, context, begun, rules)
        return Description(self.wording.text(found.tokens), len(found.tokens), found.confidence, found.ended)

    def prepare(self, image: ImageSource) -> NDArray[np.uint8]:
        """The picture as the model sees it."""
        return prepare(image, self._preprocessing, self._limits)

    def look(self, pixels: NDArray[np.uint8]) -> Floats:
        """What texts look at of a prepared picture, [1, k, 2 x layers x width]."""
        boxes = self.propose(pixels)
        mask = np.ones((1, len(boxes)), np.bool_)
        return self._engine("context").run(pixels=pixels[None], boxes=boxes[None], mask=mask)

    def write(self, context: Floats, begun: list[int], rules: Rules) -> Generated:
        """Places of tokens, from those of a prompt."""
        return generate(self._steps(context), begun, rules)

    def _write(self, image: ImageSource, context: Floats, begun: list[int], rules: Rules) -> Generated:
        """As ``write``; what prompts begin with is read once a picture, all but the last token: it goes on there."""
        *shared, last = begun
        if not shared:
            return self.write(context, begun, rules)
        names = [("begun", *map(str, shared[:end])) for end in range(1, len(shared) + 1)]
        rows = self._memory.recall_run(image, names, lambda known: self._read(context, shared, known))
        return generate(self._steps(context, rows), [last], rules)

    def _read(self, context: Floats, tokens: list[int], known: list[Floats]) -> list[Floats]:
        """What is kept of the tokens behind those that are known."""
        steps = self._steps(context, known)
        steps.step(np.array([tokens[len(known) :]], np.int64))
        return steps.kept(len(known))

    def _steps(self, context: Floats, begun: Sequence[Floats] = ()) -> GraphSteps:
        return GraphSteps(self._engine("decode"), context, self.most_tokens, begun)
