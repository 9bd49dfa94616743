"""Looks over captions: too short, too long for the model, in a script it does not know, or shared by too many.

It knows nothing about pictures.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from open_autoglm.data import Records

from .preflight_finding import BatchPlan, Finding

_TOKENS_A_WORD = 1.4  # of an English word-piece tokenizer, roughly
_SHORT = 0.2  # shares of captions from which a word is due
_LONG = 0.05
_FOREIGN = 0.05
_JOINED = 0.2


def check_captions(name: str, records: Records, plan: BatchPlan) -> Iterator[Finding]:
    """Findings on one split's captions."""
    captions = [caption for record in records for caption in record.captions]
    if not captions:
        return
    foreign = [caption for caption in captions if script(caption) not in (None, *plan.scripts)]
    if len(foreign) > _FOREIGN * len(captions):
        yield Finding(
            "captions in another script",
            "warning",
            f"{_share(foreign, captions)} of the captions of {name} are mostly in another script than the text "
            f"tower knows ({', '.join(plan.scripts).lower()}).",
            "Translate them, or take a text tower that was trained on their language.",
            len(foreign),
            _shown(foreign),
        )
    long = [caption for caption in captions if _TOKENS_A_WORD * len(caption.split()) > plan.max_tokens]
    if len(long) > _LONG * len(captions):
        yield Finding(
            "long captions",
            "warning",
            f"{_share(long, captions)} of the captions of {name} are longer than the {plan.max_tokens} tokens that "
            "the model reads; the rest of them is cut.",
            "Put what matters first, or give each sentence as a caption of its own.",
            len(long),
            _shown(long),
        )
    short = [record.captions[0] for record in records if record.label is None and _words(record.captions) < 2]
    if len(short) > _SHORT * len(records):
        yield Finding(
            "short captions",
            "note",
            f"{len(short):,} of the {len(records):,} pictures of {name} have captions of a single word.",
            "If they are classes, name their column in data.train.label: templates make sentences of them.",
            len(short),
            _shown(short),
        )
    yield from _joined(name, records)


@lru_cache(maxsize=2**16)
def script(text: str) -> str | None:
    """The script of most of the letters: the first word of their Unicode names. None without letters."""
    counts: dict[str, int] = {}
    for letter in text[:200]:
        if letter.isalpha():
            name = "LATIN" if letter.isascii() else unicodedata.name(letter, "UNKNOWN").split(" ")[0]
            counts[name] = counts.get(name, 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else None


def _joined(name: str, records: Records) -> Iterator[Finding]:
    """Labels that shared captions have made too large; large classes are another matter."""
    labels, counts = np.unique(records.labels, return_counts=True)
    largest = int(counts.max())
    members = [
        record for record, label in zip(records, records.labels, strict=True) if label == labels[counts.argmax()]
    ]
    if len(records) < 10 or largest < _JOINED * len(records) or len({record.label for record in members} - {None}) == 1:
        return
    yield Finding(
        "captions shared by many",
        "warning",
        f"{largest:,} of the {len(records):,} pictures of {name} count as matches of each other, because captions "
        "that they share join them.",
        "Where they do not show the same, take out captions that say nothing of the picture, or set "
        "data.train.positives to picture.",
        largest,
        _shown([record.captions[0] for record in members]),
    )


def _words(captions: tuple[str, ...]) -> int:
    return max(len(caption.split()) for caption in captions)


def _share(some: list[str], of: list[str]) -> str:
    return f"{len(some):,} of {len(of):,}"


def _shown(captions: list[str]) -> tuple[str, ...]:
    return tuple(caption if len(caption) <= 80 else f"{caption[:77]}..." for caption in dict.fromkeys(captions))[:5]
