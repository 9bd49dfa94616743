"""A grammar whose rules carry meanings: it writes random sentences with what they mean, and reads sentences back.

It knows nothing about scenes; a meaning is whatever the function of a rule makes of the meanings of its parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Meaning = Callable[..., Any]
TOKEN = re.compile(r"\([^)]*\)|\{[a-z_0-9]+\}|[^\s]+")


class Senseless(ValueError):
    """Raised by a meaning when its parts, each fine alone, say nothing together ("only black and black items")."""


@dataclass(frozen=True)
class Rule:
    """One way to say something: words, ``{name}`` for a part, ``(one*3|another|)`` for a free choice of words."""

    kind: str
    parts: tuple[str, ...]
    meaning: Meaning
    weight: float


@dataclass(frozen=True)
class Sentence:
    """Words, the rule that made them, and what they mean."""

    text: str
    kind: str
    meaning: Any


@dataclass
class Grammar:
    """Rules by the part of a sentence they make."""

    rules: dict[str, list[Rule]] = field(default_factory=dict)
    odds: dict[str, Any] = field(default_factory=dict)

    def add(self, name: str, pattern: str, meaning: Meaning, weight: float = 1.0, kind: str = "") -> None:
        """One more way to say ``name``; its meaning gets those of the pattern's parts, in order, that have any."""
        parts = tuple(TOKEN.findall(pattern))
        for part in parts:
            if part.startswith("(") and part not in self.rules:
                for words, times in choices(part[1:-1]):
                    self._keep(part, Rule("", words, _silent, times))
        self._keep(name, Rule(kind or name, parts, meaning, weight))

    def words(self, name: str, meanings: Mapping[str, Any], weight: float = 1.0) -> None:
        """Plain words with their meanings; ``a*3|b`` are two ways to say one, the first three times as often."""
        for text, meaning in meanings.items():
            ways = choices(text)
            share = weight / sum(times for _, times in ways)
            for words, times in ways:
                self._keep(name, Rule(name, words, _constant(meaning), share * times))

    def _keep(self, name: str, rule: Rule) -> None:
        self.rules.setdefault(name, []).append(rule)

    def write(self, name: str, rng: np.random.Generator) -> Sentence:
        """A random sentence. Raises Senseless when the parts chosen do not go together."""
        rule = self._choose(name, rng)
        text, meaning = self._fill(rule, rng)
        return Sentence(" ".join(text), rule.kind, meaning)

    def _choose(self, name: str, rng: np.random.Generator) -> Rule:
        if name not in self.odds:
            weights = np.cumsum([rule.weight for rule in self.rules[name]])
            self.odds[name] = weights / weights[-1]
        return self.rules[name][int(np.searchsorted(self.odds[name], rng.random()))]

    def _fill(self, rule: Rule, rng: np.random.Generator) -> tuple[list[str], Any]:
        text: list[str] = []
        meanings = []
        for part in rule.parts:
            if part[0] in "{(":
                name = part.strip("{}")
                words, meaning = self._fill(self._choose(name, rng), rng)
                text += words
                if meaning is not None:
                    meanings.append(meaning)
            else:
                text.append(part)
        return text, rule.meaning(*meanings)

    def read(self, name: str, text: str) -> list[Sentence]:
        """Every reading of the whole text; none where the grammar could not have written it."""
        words = tuple(text.split())
        memory: dict[tuple[str, int], list[tuple[int, Any]]] = {}
        readings = []
        for rule in self.rules[name]:
            for end, meanings in self._match(rule.parts, words, 0, memory):
                if end == len(words):
                    try:
                        readings.append(Sentence(text, rule.kind, rule.meaning(*meanings)))
                    except Senseless:
                        continue
        return readings

    def _read(self, name: str, words: tuple[str, ...], start: int, memory: dict[Any, Any]) -> list[tuple[int, Any]]:
        if (name, start) not in memory:
            found = []
            for rule in self.rules[name]:
                for end, meanings in self._match(rule.parts, words, start, memory):
                    try:
                        found.append((end, rule.meaning(*meanings)))
                    except Senseless:
                        continue
            memory[name, start] = found
        known: list[tuple[int, Any]] = memory[name, start]
        return known

    def _match(
        self, parts: tuple[str, ...], words: tuple[str, ...], start: int, memory: dict[Any, Any]
    ) -> Iterator[tuple[int, list[Any]]]:
        if not parts:
            yield start, []
            return
        part, rest = parts[0], parts[1:]
        if part[0] not in "{(":
            if start < len(words) and words[start] == part:
                yield from self._match(rest, words, start + 1, memory)
            return
        for end, meaning in self._read(part.strip("{}"), words, start, memory):
            for final, meanings in self._match(rest, words, end, memory):
                yield final, ([] if meaning is None else [meaning]) + meanings


def choices(text: str) -> list[tuple[tuple[str, ...], float]]:
    """``one*3|another`` as words and how often each is said."""
    parted = [way.partition("*") for way in text.split("|")]
    return [(tuple(words.split()), float(times or 1)) for words, _, times in parted]


def _silent() -> None:
    """Free words mean nothing."""


def _constant(value: Any) -> Meaning:
    return lambda: value
