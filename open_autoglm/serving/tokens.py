"""How many tokens texts have, as the models that are served count them.

It knows bundles' tokenizers; it knows nothing of what texts are for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tokenizers import Tokenizer

from ..bundle import Bundle

# What lies beyond is cut by every model here; counting it would be work without use.
_MOST_CHARACTERS = 50_000


class TokenCounts:
    """Counts by the name that a model is served under; 0 for one whose tokenizer is not known."""

    def __init__(self, bundles: Mapping[str, Bundle] | None = None) -> None:
        self._bundles = dict(bundles or {})
        self._tokenizers: dict[str, tuple[Tokenizer, int]] = {}

    def of(self, model: str, texts: Sequence[str]) -> int:
        """All of them together, each cut where the model cuts it."""
        if not texts or model not in self._bundles:
            return 0
        if model not in self._tokenizers:
            self._tokenizers[model] = _tokenizer(self._bundles[model])
        tokenizer, most = self._tokenizers[model]
        encoded = tokenizer.encode_batch_fast([text[:_MOST_CHARACTERS] for text in texts])
        return sum(min(len(one.ids), most) for one in encoded)


def _tokenizer(bundle: Bundle) -> tuple[Tokenizer, int]:
    tokenizer = Tokenizer.from_file(str(bundle.path / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer, int(bundle.manifest.preprocessing["text"]["max_tokens"])
