"""How many tokens texts have, as the models that are served count them.

It knows bundles' tokenizers; it knows nothing of what texts are for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tokenizers import Tokenizer

from ..bundle import Bundle

# What lies beyond is cut by every model here; counting it would be work without use.
_MOST_CHARACTERS = 50_000


class TokenCounts:
    """Counts by the name that a model is served under; 0 for one whose tokenizer is not known."""

    def __init__(self, bundle: Callable[[str], Bundle | None]) -> None:
        self._bundle = bundle
        self._tokenizers: dict[Path, tuple[Tokenizer, int]] = {}

    def of(self, model: str, texts: Sequence[str]) -> int:
        """All of them together, each cut where the model cuts it."""
        bundle = self._bundle(model) if texts else None
        if bundle is None:
            return 0
        if bundle.path not in self._tokenizers:
            self._tokenizers[bundle.path] = _tokenizer(bundle)
        tokenizer, most = self._tokenizers[bundle.path]
        encoded = tokenizer.encode_batch_fast([text[:_MOST_CHARACTERS] for text in texts])
        return sum(min(len(one.ids), most) for one in encoded)


def _tokenizer(bundle: Bundle) -> tuple[Tokenizer, int]:
    tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, int(bundle.manifest.preprocessing["text"]["max_tokens"])
