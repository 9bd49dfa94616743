"""Answers questions about a picture by alignment alone: by how close the picture, and parts of it, are to words.

It knows what similarity can carry, and says of everything else that it cannot tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .answers import Answer, Grounding
from .calibration import NONE_OF_THESE, Match
from .decoding import ImageSource
from .grounding import direction, ground
from .presence import calibrated, presence
from .questions import Kind, Question, bare, read_question, read_statement, sentence
from .remembering import FORGETFUL, Memory
from .seeing import Seen, need_cells, see

if TYPE_CHECKING:
    from .model import Model

NO_COUNT = "It finds where such things are, but not how many: those that stand close look like one."
NO_NAMES = "It knows no names of things: ask with choices."
BEYOND = "It can tell what is there, what something is, and where; ask 'is there a ...?' or 'where is the ...?'."
LEAST_SURE = 0.6  # below this confidence an answer is no better than "I can't tell"
MOST_OF_IT = 0.6  # of the picture's area: a box that holds more has no other place to name
PLACES = (
    ("in the upper left", "at the top", "in the upper right"),
    ("on the left", "in the middle", "on the right"),
    ("in the lower left", "at the bottom", "in the lower right"),
)


class AlignmentAnswers:
    """``Answering`` for a model that has towers and nothing on top of them."""

    def __init__(self, model: Model, memory: Memory = FORGETFUL) -> None:
        self.model = model
        self._memory = memory

    def ground(self, image: ImageSource, text: str) -> Grounding:
        """Where a text is in the picture. SettingError for a model without cells, TextError for one without words."""
        need_cells(self.model)
        self.model.embed_texts([text])
        return self._ground(self._see(image), text)

    def verify(self, image: ImageSource, statement: str) -> float:
        """The probability that a statement is true of the picture; what relates things to each other hardly counts."""
        read = read_statement(statement)
        worded = self._worded(read.subject) if read.subject else read.text
        probability = self._presence(self._see(image), worded)
        return 1 - probability if read.denied else probability

    def ask(self, image: ImageSource, question: str, choices: Iterable[str] | None = None) -> Answer:
        """Answers what is there, what it is, where, and that there are 0; anything else with None.

        With ``choices`` the answer is the one that fits best, whatever the question. The confidence of a place is
        that the thing is there. Raises TextError for a question that is empty or endless.
        """
        read = read_question(question, self.model.known_names)
        if choices is not None:
            return self._choose(image, choices)
        if read.kind is Kind.OTHER:
            return Answer(None, 0.0, reason=BEYOND)
        seen = self._see(image)
        if read.kind is Kind.NAME:
            return self._name(image, seen)
        return self.look_for(seen, read)

    def look_for(self, seen: Seen, question: Question) -> Answer:
        """The answer to a question after one thing: whether it is there, where, or how many."""
        probability = self._presence(seen, self._worded(question.subject))
        confidence = max(probability, 1 - probability)
        if probability < 0.5:
            absent = {Kind.PRESENCE: "no", Kind.PLACE: "not in the picture", Kind.COUNT: "0"}
            return self._sure(absent[question.kind], confidence, Grounding())
        regions = self._ground(seen, question.subject, probability)
        if question.kind is Kind.PRESENCE:
            return self._sure("yes", confidence, regions)
        if question.kind is Kind.COUNT:
            # Peaks of heat are no count: one is the better guess, however far they stand out (benchmarks/grounding.py).
            return Answer(None, 0.0, regions, NO_COUNT)
        if not len(regions.boxes):
            return Answer(None, 0.0, regions)
        return self._sure(place(regions.boxes[0], seen.width, seen.height), confidence, regions)

    def _see(self, image: ImageSource) -> Seen:
        return self._memory.recall(image, ("seen",), partial(see, self.model, image))

    def _choose(self, image: ImageSource, choices: Iterable[str]) -> Answer:
        probabilities = self.model.classify(image, choices)
        best = next(iter(probabilities))
        if best == NONE_OF_THESE:
            return Answer(None, 1 - probabilities[best])
        return self._sure(best, probabilities[best], self._ground(self._see(image), best))

    def _name(self, image: ImageSource, seen: Seen) -> Answer:
        names = self.model.vocabulary.names
        if not names:
            return Answer(None, 0.0, reason=NO_NAMES)
        probabilities = self.model.vocabulary.recognise(seen.views[0])
        if probabilities is None:
            return self._choose(image, names)
        best = int(probabilities.argmax())
        return self._sure(names[best], float(probabilities[best]), self._ground(seen, names[best]))

    @staticmethod
    def _sure(text: str, confidence: float, regions: Grounding) -> Answer:
        return Answer(text if confidence >= LEAST_SURE else None, confidence, regions)

    def _worded(self, subject: str) -> str:
        """That a thing is there, in the words whose scores were calibrated."""
        if Match.PRESENCE in self.model.calibration.fits:
            return sentence(subject)
        return self.model.template.format(bare(subject))

    def _presence(self, seen: Seen, statement: str) -> float:
        return presence(self.model, seen, self.model.embed_queries([statement]))

    def _ground(self, seen: Seen, text: str, probability: float | None = None) -> Grounding:
        """Where a text is; without calibration the boxes' scores compare them with each other alone."""
        if not seen.grids:
            return Grounding()
        queries = self.model.embed_queries([text])
        if probability is None:
            probability = self._presence(seen, self._worded(text)) if calibrated(self.model) else 1.0
        return ground(seen, direction(self.model.similarity, queries)[0], probability)


def place(box: np.ndarray, width: int, height: int) -> str:
    """Where a box lies in a picture, in words."""
    x0, y0, x1, y1 = box.tolist()
    if (x1 - x0) * (y1 - y0) > MOST_OF_IT * width * height:
        return "all over the picture"
    column, row = (min(2, int(3 * middle)) for middle in ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height))
    return PLACES[row][column]
