"""Describes a picture in words, or goes on from a prompt about it, with the decoder of a bundle.

It knows a bundle's graphs for it; it knows nothing about how a prompt is read from a command line or a page.
"""

from __future__ import annotations

from collections.abc import Callable
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

    What is kept of each token is written behind that of the one before: the past is never copied.
    """

    def __init__(self, decode: Engine, context: Floats, room: int) -> None:
        _, regions, each = context.shape
        self._decode, self._context, self._mask = decode, context, np.ones((1, regions), np.bool_)
        self._kept, self._length = np.empty((room, 1, each), np.float32), 0

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


class Describing:
    """``engine`` gives the graph of a task; words, proposals and limits are the bundle's."""

    def __init__(
        self, bundle: Bundle, preprocessing: Preprocessing, limits: ImageLimits, engine: Callable[[str], Engine]
    ) -> None:
        facts = bundle.manifest.generation
        self.propose = make_proposer(facts["proposals"])
        self.most_tokens = int(facts["most_tokens"])
        self.wording = Wording(bundle.path / "tokenizer.json", Lexicon(facts["tokens"]))
        self._preprocessing, self._limits, self._engine = preprocessing, limits, engine

    def describe(self, image: ImageSource, prompt: str | None, settings: GenerationSettings) -> Description:
        """A text about a picture that begins with ``prompt``.

        Raises TextError for a prompt without a known word, SettingError for one that leaves no room, ImageError.
        """
        begun = self.wording.prompt(prompt)
        rules = Rules.fitting(END, NEVER, self.most_tokens, len(begun) - 1, settings)
        found = self.write(self.look(prepare(image, self._preprocessing, self._limits)), begun, rules)
        return Description(self.wording.text(found.tokens), len(found.tokens), found.confidence, found.ended)

    def look(self, pixels: NDArray[np.uint8]) -> Floats:
        """What texts look at of a prepared picture, [1, k, 2 x layers x width]."""
        boxes = self.propose(pixels)
        mask = np.ones((1, len(boxes)), np.bool_)
        return self._engine("context").run(pixels=pixels[None], boxes=boxes[None], mask=mask)

    def write(self, context: Floats, begun: list[int], rules: Rules) -> Generated:
        """Places of tokens, from those of a prompt."""
        return generate(GraphSteps(self._engine("decode"), context, self.most_tokens), begun, rules)
