"""A text tower's token states, computed once a sentence for as long as the tower stays as it is.

It knows token ids; it knows nothing about pictures, answers or the loop.
"""

from __future__ import annotations

import torch
from torch import Tensor

from open_autoglm.modeling.text import TextEncoder

MOST_TOKENS = 200_000  # that are kept: 300 MB of a tower with 384 numbers a token


class SentenceStates:
    """``states(input_ids, attention_mask)`` [N, T] gives [N, T, hidden], zeros where the mask has nothing.

    ``pooled`` gives the sentences' features [N, hidden] beside them.

    The same few hundred questions are asked about every picture, and reading them costs as much as looking. A tower
    that learns, or that drops out, reads them every time. What is kept was read alone, so that it does not depend on
    the sentences beside it, and a resumed training goes on bit for bit.
    """

    def __init__(self, text: TextEncoder) -> None:
        self.text = text
        self._kept: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self._tokens = self._version = 0

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.pooled(input_ids, attention_mask)[1]

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, hidden] and states [N, T, hidden]."""
        weights = list(self.text.parameters())
        if self.text.tower.training or (torch.is_grad_enabled() and any(one.requires_grad for one in weights)):
            return self.text.with_tokens(input_ids, attention_mask)
        if (version := sum(one._version for one in weights)) != self._version:
            self._kept.clear()
            self._tokens, self._version = 0, version
        mask = attention_mask.bool()
        read = [self._sentence(row[there]) for row, there in zip(input_ids, mask, strict=True)]
        tokens = torch.cat([states for _, states in read])
        states = tokens.new_zeros(*mask.shape, tokens.shape[-1])
        states[mask] = tokens
        return torch.stack([features for features, _ in read]), states

    def _sentence(self, sentence: Tensor) -> tuple[Tensor, Tensor]:
        """Of one sentence [T]: its features [hidden] and states [T, hidden]."""
        key = tuple(sentence.tolist())
        if key in self._kept:
            return self._kept[key]
        with torch.no_grad():
            features, states = self.text.with_tokens(sentence[None], torch.ones_like(sentence)[None])
        if self._tokens + len(key) <= MOST_TOKENS:
            self._kept[key] = features[0], states[0]
            self._tokens += len(key)
        return features[0], states[0]
