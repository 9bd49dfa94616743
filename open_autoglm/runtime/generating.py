"""Writes a text token by token: greedily, by sampling, or by beam search, with any model that gives logits.

It knows numbers of tokens and their logits; it knows nothing about words, pictures, graphs or tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import SettingError
from .generation_settings import GenerationSettings

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]


class Steps(Protocol):
    """A model that goes on from what it was given before; n texts side by side."""

    def step(self, tokens: Tokens) -> Floats:
        """Takes the next tokens [n, t] of each text; logits [n, vocabulary] of the one after them."""
        ...

    def keep(self, rows: Tokens) -> None:
        """Goes on with these of its texts, in this order; one may be taken several times."""
        ...


@dataclass(frozen=True)
class Generated:
    """``tokens``, without the prompt and the end; ``log_probability``: their sum, that of the end included.

    ``ended``: whether the model came to its end, or was stopped by a limit. The log-probabilities are the model's own,
    before penalties and temperature.
    """

    tokens: tuple[int, ...]
    log_probability: float
    ended: bool

    @property
    def length(self) -> int:
        """Tokens that ``log_probability`` is of."""
        return len(self.tokens) + self.ended

    @property
    def confidence(self) -> float:
        """The geometric mean of the tokens' probabilities, in 0..1."""
        return float(np.exp(self.log_probability / max(1, self.length)))


@dataclass(frozen=True)
class Rules:
    """``end``: the token that ends a text; ``never``: those that are not written; ``most``: how many may be."""

    end: int
    never: tuple[int, ...]
    most: int
    settings: GenerationSettings

    @classmethod
    def fitting(cls, end: int, never: tuple[int, ...], room: int, prompt: int, settings: GenerationSettings) -> Rules:
        """For a model that writes at most ``room`` tokens, so many of them of a prompt.

        SettingError where the prompt leaves no room.
        """
        left = room - prompt
        if left < 1:
            raise SettingError(
                f"The prompt has {prompt:,} tokens, and the model writes {room:,} with it: make it shorter."
            )
        return cls(end, never, min(left, settings.max_new_tokens or left), settings)

    def allowed(self, logits: Floats, written: Sequence[int]) -> Floats:
        """Logits [vocabulary] of the next token as they are chosen by: what may not come is -inf.

        A text has a token at least; the prompt, which somebody else has written, may be repeated.
        """
        settings, chosen = self.settings, logits.copy()
        if settings.repetition_penalty != 1 and written:
            seen = np.unique(np.array(written))
            penalty = np.float32(settings.repetition_penalty)
            chosen[seen] = np.where(chosen[seen] > 0, chosen[seen] / penalty, chosen[seen] * penalty)
        chosen[list(self.never)] = -np.inf
        if not written:
            chosen[self.end] = -np.inf
        banned = list(completing(written, settings.no_repeat_ngram_size))
        # The end is no repetition, and stays where there is nothing else to say.
        chosen[[token for token in banned if token != self.end]] = -np.inf
        return chosen


def generate(steps: Steps, prompt: Sequence[int], rules: Rules) -> Generated:
    """Goes on from ``prompt``, which has a token at least, as the settings say."""
    if rules.settings.num_beams > 1:
        return beam_search(steps, prompt, rules)
    return one_by_one(steps, prompt, rules)


def one_by_one(steps: Steps, prompt: Sequence[int], rules: Rules) -> Generated:
    """The likeliest token each time, or one that is drawn."""
    settings, written, total = rules.settings, list[int](), 0.0
    random = np.random.default_rng(settings.seed)
    tokens = np.array([prompt], np.int64)
    while len(written) < rules.most:
        logits = steps.step(tokens)[0]
        chosen = rules.allowed(logits, written)
        token = draw(chosen, settings, random) if settings.do_sample else int(chosen.argmax())
        total += float(logits[token]) - log_sum(logits)
        if token == rules.end:
            return Generated(tuple(written), total, ended=True)
        written.append(token)
        tokens = np.array([[token]], np.int64)
    return Generated(tuple(written), total, ended=False)


def draw(logits: Floats, settings: GenerationSettings, random: np.random.Generator) -> int:
    """A token by its probability, among those that ``top_k`` and ``top_p`` leave."""
    order = np.argsort(-logits, kind="stable")[: settings.top_k or None]
    scaled = logits[order].astype(np.float64) / settings.temperature
    weights = np.exp(scaled - scaled[0])
    shares = np.cumsum(weights) / weights.sum()
    # The one that reaches the share is among them.
    kept = int(np.searchsorted(shares, settings.top_p)) + 1
    place = np.searchsorted(shares[:kept], random.random() * shares[:kept][-1], side="right")
    return int(order[min(int(place), min(kept, len(order)) - 1)])


@dataclass(frozen=True)
class Beam:
    """A text that is being written: ``score`` is the sum it is followed by, ``total`` its log-probability."""

    tokens: tuple[int, ...]
    score: float
    total: float


def beam_search(steps: Steps, prompt: Sequence[int], rules: Rules) -> Generated:
    """The best of ``num_beams`` texts, each step's likeliest being followed.

    It stops when as many have ended and no text that goes on is better for its length than the worst of them.
    """
    count, power = rules.settings.num_beams, rules.settings.length_penalty
    beams, done = [Beam((), 0.0, 0.0)], list[tuple[float, Generated]]()
    tokens = np.array([prompt], np.int64)
    for length in range(1, rules.most + 1):
        ending, going, rows = followed(beams, steps.step(tokens), rules)
        done += [(beam.score / length**power, Generated(beam.tokens, beam.total, True)) for beam in ending]
        done = sorted(done, key=lambda pair: -pair[0])[:count]
        beams = going
        if not beams or (len(done) == count and beams[0].score / length**power <= done[-1][0]):
            break
        if length < rules.most:
            steps.keep(np.array(rows, np.int64))
            tokens = np.array([[beam.tokens[-1]] for beam in beams], np.int64)
    else:
        done += [(beam.score / rules.most**power, Generated(beam.tokens, beam.total, False)) for beam in beams]
    return max(done, key=lambda pair: pair[0])[1]


def followed(beams: Sequence[Beam], logits: Floats, rules: Rules) -> tuple[list[Beam], list[Beam], list[int]]:
    """The best ways on from beams with logits [n, vocabulary]: those that end, those that go on, and whose rows.

    A text ends only where that is among the ``num_beams`` best ways on.
    """
    count = rules.settings.num_beams
    own = logits - np.array([log_sum(row) for row in logits], np.float32)[:, None]
    allowed = np.stack([rules.allowed(row, beam.tokens) for row, beam in zip(logits, beams, strict=True)])
    scores = allowed - np.array([log_sum(row) for row in allowed], np.float32)[:, None]
    scores += np.array([beam.score for beam in beams], np.float32)[:, None]
    flat = scores.ravel()
    # One end a beam at most, so that twice as many always leave enough to go on with.
    best = np.argpartition(-flat, min(2 * count, len(flat)) - 1)[: 2 * count]
    best = best[np.lexsort((best, -flat[best]))]
    ending, going, rows = list[Beam](), list[Beam](), list[int]()
    for rank, place in enumerate(best.tolist()):
        row, token = divmod(place, logits.shape[1])
        if not np.isfinite(flat[place]) or len(going) == count:
            break
        before = beams[row]
        total, score = before.total + float(own[row, token]), float(flat[place])
        if token != rules.end:
            going.append(Beam((*before.tokens, token), score, total))
            rows.append(row)
        elif rank < count:
            ending.append(Beam(before.tokens, score, total))
    return ending, going, rows


def completing(written: Sequence[int], size: int) -> Collection[int]:
    """The tokens that would write a sequence of ``size`` tokens a second time."""
    if not size or len(written) < size:
        return ()
    last = tuple(written[len(written) - size + 1 :])
    starts = range(len(written) - size + 1)
    return {written[start + size - 1] for start in starts if tuple(written[start : start + size - 1]) == last}


def log_sum(logits: Floats) -> float:
    """The logarithm of the sum of exponentials."""
    highest = float(logits.max())
    return highest + float(np.log(np.exp(logits - highest).sum()))
