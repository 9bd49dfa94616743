"""Sentences as the text graph's inputs.

It knows the bundle's tokenizer; it knows nothing about models or vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from open_autoglm.errors import BundleError, TextError

# No tokenizer here makes one token of more characters than this on average: what lies beyond is cut anyway.
CHARACTERS_PER_TOKEN = 100


class TextTokenizer:
    """A bundle's ``tokenizer.json``; sentences longer than ``max_tokens`` are cut.

    With ``pad_all`` every sentence is padded to ``max_tokens`` and the padding attended to.
    """

    def __init__(self, path: Path, max_tokens: int, pad_id: int, unknown_id: int | None, pad_all: bool = False) -> None:
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises plain Exception
            raise BundleError(f"{path} cannot be read as a tokenizer ({error}); copy the bundle again.") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._pad_to = max_tokens if pad_all else 0
        self._max_characters = max_tokens * CHARACTERS_PER_TOKEN
        self._pad_id = pad_id
        self._unknown_id = unknown_id

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """The tokens of each sentence. Raises TextError for one that is empty or has no known word."""
        encodings = self._tokenizer.encode_batch([checked(text)[: self._max_characters] for text in texts])
        for text, encoding in zip(texts, encodings, strict=True):
            tokens = [
                token
                for token, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True)
                if not special or token == self._unknown_id
            ]
            if not tokens or all(token == self._unknown_id for token in tokens):
                raise TextError(f"{shown(text)} holds no word that this model knows: use other words.")
        return list(encodings)

    @staticmethod
    def written(text: str, encoding: Encoding, width: int) -> tuple[str, ...]:
        """The part of a sentence that each of ``width`` tokens stands for; empty for what the tokenizer adds."""
        spans = zip(encoding.offsets, encoding.special_tokens_mask, strict=True)
        parts = ["" if special else checked(text)[start:end] for (start, end), special in spans]
        return (*parts, *[""] * (width - len(parts)))

    def batch(self, encodings: Sequence[Encoding]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``input_ids`` and ``attention_mask`` [B, T], padded as the model was trained."""
        longest = max(self._pad_to, *(len(encoding.ids) for encoding in encodings))
        ids = np.full((len(encodings), longest), self._pad_id, dtype=np.int64)
        mask = np.full_like(ids, 1 if self._pad_to else 0)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        return ids, mask


def checked(text: str) -> str:
    """The text itself, if it is text and not empty."""
    if not isinstance(text, str):
        raise TextError(f"A text was expected, not {type(text).__name__}.")
    if not text.strip():
        raise TextError("The text is empty: type at least one word.")
    # A lone surrogate (from a name that is not UTF-8) cannot be tokenized.
    return text.encode("utf-8", "replace").decode("utf-8")


def shown(text: str) -> str:
    """A text as an error message quotes it."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
