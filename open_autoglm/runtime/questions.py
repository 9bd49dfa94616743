"""Reads a question about a picture: what kind it is, and what it is about.

It knows plain English questions; it knows nothing about pictures or models.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from ..errors import TextError
from .text import checked, shown

LONGEST = 500  # characters; what is longer is no question about a picture


class Kind(StrEnum):
    """What a question asks for."""

    PRESENCE = "presence"  # is there a dog?
    NAME = "name"  # what is this?
    PLACE = "place"  # where is the bicycle?
    COUNT = "count"  # how many dogs?
    OTHER = "other"  # why, which colour, what is written: more than a similarity can tell


@dataclass(frozen=True)
class Question:
    """A question's kind, and the thing it asks about; empty where it asks for a name or is of another kind."""

    kind: Kind
    subject: str = ""


@dataclass(frozen=True)
class Statement:
    """A statement's text, and what it says is there, or not there if ``denied``; "" where it says something else."""

    text: str
    subject: str = ""
    denied: bool = False


_PICTURE = r"(?:the |this |that )?(?:picture|photo|photograph|image|scene)"
_HERE = rf"(?: (?:in|on) {_PICTURE}| here| visible| to be seen| shown| anywhere)*"
_SEEN = r"(?:can|do|could) (?:you|we|i) (?:see|find|spot)"
_THIS = rf"(?:this|that|it|these|they|{_PICTURE})"
# Tried in this order; the group is the subject.
_PATTERNS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (Kind.NAME, rf"what(?:'s| is| are) (?:{_THIS}|(?:in|on|shown in) {_PICTURE}|there){_HERE}"),
        (Kind.NAME, rf"what (?:can you see|do you see|does {_PICTURE} show){_HERE}"),
        (Kind.NAME, r"(?:what|which) (?:thing|object|product|item|animal|kind of thing) is (?:this|that|it)"),
        (Kind.PLACE, rf"where(?:'s| is| are| do you see| can you see) (?:the |my )?(.+?){_HERE}"),
        (Kind.PLACE, rf"(?:show me|point to|find) (.+?){_HERE}"),
        (Kind.COUNT, rf"how many (.+?)(?: are there| is there| do you see| can you see| are)?{_HERE}"),
        (Kind.COUNT, rf"count (?:the |all )?(.+?){_HERE}"),
        (Kind.PRESENCE, rf"(?:is|are) there (.+?){_HERE}"),
        (Kind.PRESENCE, rf"(?:there is|there are|there's|i see|we see) (.+?){_HERE}"),
        (Kind.PRESENCE, rf"{_SEEN} (.+?){_HERE}"),
        (Kind.PRESENCE, rf"does {_THIS} (?:show|contain|have|include) (.+?)"),
        (Kind.PRESENCE, rf"{_THIS} (?:shows|contains|has|includes) (.+?)"),
        (Kind.PRESENCE, rf"(?:is|are) {_THIS} (?:(?:a |an )?(?:picture|photo|photograph|image) of )?(.+?)"),
        (Kind.PRESENCE, rf"{_THIS} (?:is|are) (?:(?:a |an )?(?:picture|photo|photograph|image) of )?(.+?)"),
        (Kind.PRESENCE, rf"(?:is|are) ((?:a|an|any|some) .+?) (?:in|on) {_PICTURE}"),
        (Kind.PRESENCE, r"(?:a |an )?(?:picture|photo|photograph|image) of (.+?)"),
    )
)
_ARTICLE = re.compile(r"^(?:a|an|the|any|some|all|my)\s+", re.IGNORECASE)
# What one vector for a whole phrase loses: how things stand to each other, what is denied, counted or compared, and
# colours, which a tower trained to name things has learnt to overlook.
_BEYOND = re.compile(
    r"\b(?:left|right|above|below|under|over|behind|between|beside|near|next|front|inside|outside"
    r"|not|no|never|without|than|more|less|most|least|both|only|\w+n't|because|if|and|or"
    r"|two|three|four|five|six|seven|eight|nine|ten|\d+|colou?r(?:ed)?"
    r"|(?:red|green|blue|yellow|orange|purple|violet|pink|brown|black|white|grey|gray)(?=\s))\b",
    re.IGNORECASE,
)
_PLURAL = re.compile(r"[^sui]s$", re.IGNORECASE)  # dogs, but no bus, glass or tennis
_DENIED = re.compile(r"(?:no|not a|not an|not any)\s+(.+)", re.IGNORECASE)


def read_question(question: str, known: Collection[str] = ()) -> Question:
    """The question's kind and subject. TextError for one that is empty, or longer than ``LONGEST`` characters.

    ``known``: names in lower case that may be asked for whatever words they hold, as in "red wine".
    """
    text = tidied(question)
    for kind, pattern in _PATTERNS:
        found = pattern.fullmatch(text)
        if found:
            subject = found.group(1).strip() if pattern.groups else ""
            return Question(Kind.OTHER) if beyond(subject, known) else Question(kind, subject)
    return Question(Kind.OTHER)


def read_statement(statement: str) -> Statement:
    """What a statement says. TextError for one that is empty or endless."""
    text = tidied(statement)
    for kind, pattern in _PATTERNS:
        found = pattern.fullmatch(text) if kind is Kind.PRESENCE else None
        if found:
            denied = _DENIED.fullmatch(found.group(1))
            return Statement(text, denied.group(1) if denied else found.group(1), denied is not None)
    return Statement(text)


def tidied(text: str) -> str:
    """A question or statement on one line, without its last mark. TextError if it is empty or endless."""
    words = " ".join(checked(text).split()).rstrip("?!. ")
    if len(words) > LONGEST:
        raise TextError(f"{shown(words)} has {len(words):,} characters: ask in at most {LONGEST}.")
    if not words:
        raise TextError("The question has no words: ask something like 'is there a dog?'.")
    return words


def bare(subject: str) -> str:
    """A subject without its article: "the bicycle" is "bicycle"."""
    return _ARTICLE.sub("", subject)


def beyond(subject: str, known: Collection[str] = ()) -> bool:
    """Whether a phrase says more than a similarity can tell, and is no known name."""
    return bare(subject).lower() not in known and _BEYOND.search(subject) is not None


def sentence(subject: str) -> str:
    """A statement that a subject is there, as calibrations are fitted for it."""
    noun = bare(subject)
    plural = _PLURAL.search(noun) and not re.match(r"(?:a|an)\s", subject, re.IGNORECASE)
    article = "an" if noun[:1].lower() in "aeiou" else "a"
    return f"there are {noun} in the picture" if plural else f"there is {article} {noun} in the picture"
