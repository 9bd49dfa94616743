"""The tokens that a decoder writes with: few of a tokenizer's many, by places of its own.

It knows numbers alone; it knows nothing about words or how tokens are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property

START, END, UNKNOWN = 0, 1, 2
"""Places that stand for no token: before a text, after it, and a token that the decoder does not write."""
NEVER = (START, UNKNOWN)
OWN = 3  # where the tokens begin


class Lexicon:
    """``ids``: the tokenizer's numbers of the tokens, each once; their places are 3, 4, ... in that order."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = tuple(ids)

    def __len__(self) -> int:
        """How many places there are."""
        return OWN + len(self.ids)

    @cached_property
    def _places(self) -> dict[int, int]:
        return {token: place for place, token in enumerate(self.ids, OWN)}

    def places(self, ids: Iterable[int]) -> list[int]:
        """The places of a tokenizer's tokens."""
        return [self._places.get(token, UNKNOWN) for token in ids]

    def tokens(self, places: Iterable[int]) -> list[int]:
        """The tokenizer's tokens of places; those that stand for none are left out."""
        return [self.ids[place - OWN] for place in places if place >= OWN]
