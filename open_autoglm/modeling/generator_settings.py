"""What the decoder that writes is made of, as one typed setting inside of OpenAutoGLMConfig.

It knows names and sizes; it knows nothing about torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from open_autoglm.errors import SettingError


@dataclass(frozen=True)
class GeneratorSettings:
    """A causal decoder that looks at a picture's regions.

    - ``width``, ``heads``, ``layers``, ``dropout``: of the decoder. ``most_tokens``: of a prompt and what follows it.
    - ``proposals``: where regions come from: ``kind``, a key of ``runtime.proposals.PROPOSERS``, and its settings.
    - ``pool``: cells a side that a region's features are pooled to.
    - ``tokens``: the tokenizer's numbers of the tokens that it writes with; a training fills them in from its texts
      where they are empty, as a whole vocabulary would be most of the model.

    Raises SettingError for sizes that do not fit.
    """

    width: int = 256
    heads: int = 4
    layers: int = 4
    dropout: float = 0.1
    most_tokens: int = 96
    pool: int = 2
    proposals: Mapping[str, Any] = field(default_factory=lambda: {"kind": "grid"})
    tokens: tuple[int, ...] = ()

    def known(self, vocabulary: int) -> Sequence[int]:
        """``tokens``, or all of a tokenizer that has so many."""
        return self.tokens or range(vocabulary)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if min(self.width, self.heads, self.layers, self.pool) < 1 or self.most_tokens < 2:
            raise SettingError("generation's width, heads, layers and pool are at least 1, and most_tokens at least 2.")
        if self.width % self.heads:
            raise SettingError(
                f"generation.width is {self.width}, which {self.heads} heads cannot share: make it divide."
            )
        if len(set(self.tokens)) < len(self.tokens) or min(self.tokens, default=0) < 0:
            raise SettingError("generation.tokens are numbers of a tokenizer's tokens, each once.")
