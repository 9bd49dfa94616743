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

    The same few hundred questions are asked about every picture, and reading them costs as much as looking. A tower
    that learns, or that drops out, reads them every time. What is kept was read alone, so that it does not depend on
    the sentences beside it, and a resumed training goes on bit for bit.
    """

    def __init__(self, text: TextEncoder) -> None:
        self.text = text
        self._kept: dict[tuple[int, ...], Tensor] = {}
        self._tokens = self._version = 0

    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        weights = list(self.text.parameters())
        if self.text.tower.training or (torch.is_grad_enabled() and any(one.requires_grad for one in weights)):
            return self.text.with_tokens(input_ids, attention_mask)[1]
        if (version := sum(one._version for one in weights)) != self._version:
            self._kept.clear()
            self._tokens, self._version = 0, version
        mask = attention_mask.bool()
        read = torch.cat([self._state(row[there]) for row, there in zip(input_ids, mask, strict=True)])
        states = read.new_zeros(*mask.shape, read.shape[-1])
        states[mask] = read
        return states

    def _state(self, sentence: Tensor) -> Tensor:
        """Of one sentence [T], [T, hidden]."""
        key = tuple(sentence.tolist())
        if key in self._kept:
            return self._kept[key]
        with torch.no_grad():
            state = self.text.with_tokens(sentence[None], torch.ones_like(sentence)[None])[1][0]
        if self._tokens + len(key) <= MOST_TOKENS:
            self._kept[key] = state
            self._tokens += len(key)
        return state
