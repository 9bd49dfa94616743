"""How annotators type: capitals or none, a final dot or none, spellings and slips of the keys.

It knows nothing about what is said; no slip changes what a reader takes a sentence to say.
"""

from __future__ import annotations

import re

import numpy as np

SPELLINGS = (
    ("at least", ("atleast",), 0.2),
    ("color", ("colour",), 0.15),
    ("yellow", ("yelow", "yelloe", "yellw"), 0.01),
    ("square", ("squere", "sqaure"), 0.01),
    ("circle", ("cirlce", "circel"), 0.01),
    ("touching", ("tocuhing", "touhing"), 0.01),
    ("below", ("bellow",), 0.1),
    ("nearly", ("nealy",), 0.1),
    ("triangle", ("traingle",), 0.01),
    ("there is a ", ("there isa ", "there is as ", "there is "), 0.02),
    (" a blue", (" ablue",), 0.01),
    (" a box", (" abox",), 0.01),
    (" with ", (" wih ",), 0.005),
    (" that has ", (" that have ", " which has "), 0.05),
)
CLIPPED = 0.02  # how often the first letter is lost
CAPITAL = 0.75
DOT = 0.6
SPACE = 0.01


def type_out(text: str, rng: np.random.Generator) -> str:
    """The sentence as somebody might have typed it."""
    text = re.sub(r"\ba (?=[aeio])", "an ", text).replace(" ,", ",")
    for right, wrong, rate in SPELLINGS:
        if right in text and rng.random() < rate:
            text = text.replace(right, wrong[int(rng.integers(len(wrong)))], 1)
    draws: list[float] = rng.random(4).tolist()
    if draws[0] < CLIPPED:
        return text[1:] + "." * (draws[2] < DOT)
    if draws[1] < CAPITAL:
        text = text[:1].upper() + text[1:]
    if draws[3] < SPACE:
        text = text.replace(" ", "  ", 1)
    return text + "." * bool(draws[2] < DOT)
