"""The decoder that writes: each token looks at those before it and at a picture's regions.

It knows feature maps and places of tokens; it knows nothing about towers, words, or how the next token is chosen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from open_autoglm.runtime.lexicon import Lexicon

from .attention import Attention, feed_forward
from .fusion_settings import FEATURE_WIDTH
from .generator_settings import GeneratorSettings
from .regions import RegionEncoder


class WritingLayer(nn.Module):
    """Tokens look at those before them, then at the regions, then each is worked on alone; norms come first."""

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        width = settings.width
        self.self_norm, self.cross_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention, self.cross_attention = (
            Attention(width, settings.heads, settings.dropout) for _ in range(2)
        )
        self.feed_forward = feed_forward(width, settings.dropout)

    def forward(
        self, states: Tensor, past: Sequence[Tensor], causal: Tensor, context: Sequence[Tensor], mask: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """States [n, t, d] after the layer, and their keys and values, [t, n, d] each.

        ``past``: those of the tokens before, [p, n, d] each; ``context``: those of the regions, [n or 1, k, d] each.
        """
        normed, looks = self.self_norm(states), self.self_attention
        new = [layer(normed).transpose(0, 1) for layer in (looks.key, looks.value)]
        # Time comes first where they are kept: a longer past is the same memory, and more of it.
        keys, values = (self._heads(torch.cat(both)).permute(1, 2, 0, 3) for both in zip(past, new, strict=True))
        states = states + looks.attend(normed, keys, values, causal)[0]
        keys, values = (self._heads(one).transpose(1, 2) for one in context)
        states = states + self.cross_attention.attend(self.cross_norm(states), keys, values, mask)[0]
        return states + self.feed_forward(states), new

    def look(self, regions: Tensor) -> list[Tensor]:
        """The regions' keys and values, [n, k, d] each."""
        return [self.cross_attention.key(regions), self.cross_attention.value(regions)]

    def _heads(self, kept: Tensor) -> Tensor:
        return kept.unflatten(-1, (self.self_attention.heads, -1))


class TextDecoder(nn.Module):
    """``prepare`` a picture once, then ``forward`` its texts: all at once, or token by token with what was kept.

    Token embeddings are the output layer, too (1608.05859); positions are learned.
    """

    def __init__(self, settings: GeneratorSettings, vocabulary: int) -> None:
        super().__init__()
        self.settings = settings
        self.region_in, self.region_norm = nn.Linear(FEATURE_WIDTH, settings.width), nn.LayerNorm(settings.width)
        self.token_embedding = nn.Embedding(vocabulary, settings.width)
        self.position_embedding = nn.Embedding(settings.most_tokens, settings.width)
        self.dropout = nn.Dropout(settings.dropout)
        self.layers = nn.ModuleList(WritingLayer(settings) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)

    def prepare(self, regions: Tensor) -> Tensor:
        """Region features [B, k, 768] as every layer looks at them, keys and values beside each other: [B, k, kept]."""
        seen = self.region_norm(self.region_in(regions))
        looks: list[WritingLayer] = list(self.layers)  # type: ignore[arg-type]
        return torch.cat([part for layer in looks for part in layer.look(seen)], dim=-1)

    def forward(self, tokens: Tensor, past: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """States [n, t, width] of tokens [n, t], and what is kept of them, [t, n, kept].

        ``past`` [p, n, kept]: of the p tokens before; ``context`` and ``mask`` [n, k] of the regions, of one picture
        for all texts, or one for each.
        """
        count, length = tokens.shape[1], past.shape[0] + tokens.shape[1]
        places = torch.arange(count, device=tokens.device) + past.shape[0]
        causal = (torch.arange(length, device=tokens.device) <= places[:, None])[None]
        states = self.dropout(self.token_embedding(tokens) + self.position_embedding(places))
        kept, pasts, contexts = list[Tensor](), self._parts(past), self._parts(context)
        for layer, before, seen in zip(self.layers, pasts, contexts, strict=True):
            states, new = layer(states, before, causal, seen, mask)
            kept += new
        return self.norm(states), torch.cat(kept, dim=-1)

    def logits(self, states: Tensor) -> Tensor:
        """Logits [..., vocabulary] of the token after each state [..., width]."""
        return states @ self.token_embedding.weight.T

    def nothing(self, texts: int) -> Tensor:
        """The past of so many texts that have not begun."""
        return self.token_embedding.weight.new_zeros(0, texts, self.kept)

    @property
    def kept(self) -> int:
        """Numbers that are kept of a token or region: a key and a value a layer."""
        return 2 * len(self.layers) * self.settings.width

    def _parts(self, kept: Tensor) -> list[Sequence[Tensor]]:
        """By layer, the keys and values of what is kept."""
        parts = kept.split(self.settings.width, dim=-1)
        return [parts[number : number + 2] for number in range(0, len(parts), 2)]


class Generator(nn.Module):
    """Region features and the decoder on them. ``vision``: the picture tower's width; ``tokens``: the tokenizer's."""

    def __init__(self, vision: int, tokens: int, settings: GeneratorSettings) -> None:
        super().__init__()
        self.settings = settings
        self.lexicon = Lexicon(settings.known(tokens))
        self.regions = RegionEncoder(vision, FEATURE_WIDTH, settings.pool)
        self.decoder = TextDecoder(settings, len(self.lexicon))

    def teach(self, context: Tensor, mask: Tensor, tokens: Tensor) -> Tensor:
        """Logits [n, t, vocabulary] of what comes after each of the tokens [n, t] of whole texts."""
        states, _ = self.decoder(tokens, self.decoder.nothing(len(tokens)), context, mask)
        return self.decoder.logits(states)


class TorchSteps:
    """A decoder and one picture's ``context`` and ``mask`` as ``runtime.generating.Steps``."""

    def __init__(self, decoder: TextDecoder, context: Tensor, mask: Tensor) -> None:
        self.decoder, self.context, self.mask = decoder, context, mask
        self.past = decoder.nothing(1)

    @torch.no_grad()
    def step(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        states, kept = self.decoder(torch.from_numpy(tokens).to(self.past.device), self.past, self.context, self.mask)
        self.past = torch.cat([self.past, kept])
        logits: Any = self.decoder.logits(states[:, -1]).float().cpu().numpy()
        return logits

    def keep(self, rows: NDArray[np.int64]) -> None:
        self.past = self.past[:, torch.from_numpy(rows).to(self.past.device)]
