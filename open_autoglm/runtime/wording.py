"""Texts as the numbers a decoder writes with, and back.

It knows a bundle's tokenizer; it knows nothing about models or how texts are chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer

from open_autoglm.errors import BundleError, TextError

from .lexicon import START, UNKNOWN, Lexicon
from .text import checked, shown

LONGEST = 10_000  # characters of a prompt; a decoder has some tens of tokens


class Wording:
    """A bundle's ``tokenizer.json``, neither cutting nor padding, and the tokens that its decoder knows."""

    def __init__(self, path: Path, lexicon: Lexicon) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"{path} cannot be read as a tokenizer ({error}); copy the bundle again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._lexicon = lexicon

    def prompt(self, text: str | None) -> list[int]:
        """What a text begins with, the start before it; None or white space is no prompt.

        Raises TextError for one that has no word that the decoder knows, or is endless.
        """
        if text is None or (isinstance(text, str) and not text.strip()):
            return [START]
        if len(words := checked(text)) > LONGEST:
            raise TextError(f"The prompt {shown(words)} has {len(words):,} characters: make it shorter.")
        places = self._lexicon.places(self._tokenizer.encode(words, add_special_tokens=False).ids)
        if all(place == UNKNOWN for place in places):
            raise TextError(f"The prompt {shown(words)} has no word that this model writes: use other words.")
        return [START, *places]

    def text(self, places: Sequence[int]) -> str:
        """The text that places spell."""
        return str(self._tokenizer.decode(self._lexicon.tokens(places), skip_special_tokens=True)).strip()
