"""How close an int8 graph is to the float graph of the same bundle, and how much faster, on inputs it was not made by.

It compares vectors, answers and texts; it knows nothing about how graphs are quantised.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from open_autoglm.runtime.describing import GraphSteps
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.generating import Rules, generate
from open_autoglm.runtime.generation_settings import GenerationSettings
from open_autoglm.runtime.lexicon import END, NEVER, START

from .ranges import Inputs
from .static_int8 import cosines

ROUNDS = 7
Floats = NDArray[np.float32]


def vectors_parity(reference: Engine, engine: Engine, inputs: Sequence[Inputs], output: str) -> dict[str, float]:
    """``mean_cosine`` and ``lowest_cosine`` of an output's vectors [..., d], and the ``speedup``."""
    found = [cosines(*(side.outputs([output], **one)[0] for side in (reference, engine))) for one in inputs]
    every = np.concatenate(found)
    return {
        "mean_cosine": float(every.mean()),
        "lowest_cosine": float(every.min()),
        "speedup": speedup(lambda: reference.run(**inputs[0]), lambda: engine.run(**inputs[0])),
    }


def answers_parity(reference: Engine, engine: Engine, inputs: Sequence[Inputs], answers: bool) -> dict[str, float]:
    """``same_answers``: the share of sentences with the same best answer, or verdict where there are no answers."""
    output = "answers" if answers else "match"

    def best(side: Engine) -> NDArray[np.int64]:
        logits = [side.outputs([output], **one)[0] for one in inputs]
        return np.concatenate([one.argmax(-1) if answers else (one > 0).astype(np.int64) for one in logits])

    wanted, got = best(reference), best(engine)
    return {
        "same_answers": float((wanted == got).mean()),
        "compared": float(len(wanted)),
        "speedup": speedup(
            lambda: reference.outputs([output], **inputs[0]), lambda: engine.outputs([output], **inputs[0])
        ),
    }


def texts_parity(reference: Engine, engine: Engine, contexts: Sequence[Floats], room: int) -> dict[str, float]:
    """``same_answers``: the share of contexts [1, k, d] of which both write the same text, taking the best token."""

    def write(side: Engine, context: Floats) -> list[int]:
        rules = Rules.fitting(END, NEVER, room, 0, GenerationSettings(num_beams=1))
        return list(generate(GraphSteps(side, context, room), [START], rules).tokens)

    same = [write(reference, context) == write(engine, context) for context in contexts]
    return {
        "same_answers": float(np.mean(same)),
        "compared": float(len(same)),
        "speedup": speedup(lambda: write(reference, contexts[0]), lambda: write(engine, contexts[0])),
    }


def speedup(reference: Callable[[], object], quantised: Callable[[], object]) -> float:
    """How many times faster: the best of several rounds each, in turn, so that a busy machine is busy for both."""
    best = [float("inf"), float("inf")]
    for _ in range(ROUNDS + 1):  # the first is for warming up, and never the best
        for side, run in enumerate((reference, quantised)):
            began = time.perf_counter()
            run()
            best[side] = min(best[side], time.perf_counter() - began)
    return best[0] / best[1]
