"""The decoder that writes: each token looks at those before it and at a picture's regions.

It knows feature maps and places of tokens; it knows nothing about towers, words, or how the next token is chosen.
"""

from __future__ import annotations

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
        self, states: Tensor, past: Tensor, causal: Tensor, context: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """States [n, t, d] after the layer, and their keys and values, [t, 2, n, heads, d / heads].

        ``past`` [p, 2, n, heads, d / heads] are those of the tokens before, ``context`` [n or 1, 2, heads, k, d /
        heads] those of the regions.
        """
        normed = self.self_norm(states)
        # Time comes first where they are kept: a longer past is the same memory, and more of it.
        new = torch.stack([self.self_attention.keys(normed), self.self_attention.values(normed)]).permute(3, 0, 1, 2, 4)
        keys, values = torch.cat([past, new]).permute(1, 2, 3, 0, 4)
        states = states + self.self_attention.attend(normed, keys, values, causal)[0]
        asked = self.cross_norm(states)
        states = states + self.cross_attention.attend(asked, context[:, 0], context[:, 1], mask)[0]
        return states + self.feed_forward(states), new

    def look(self, regions: Tensor) -> Tensor:
        """The regions' keys and values, [n, 2, heads, k, d / heads]."""
        return torch.stack([self.cross_attention.keys(regions), self.cross_attention.values(regions)], dim=1)


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
        """Region features [B, k, 768] as every layer looks at them, [B, 2 layers, heads, k, width / heads]."""
        seen = self.region_norm(self.region_in(regions))
        looks: list[WritingLayer] = list(self.layers)  # type: ignore[arg-type]
        return torch.cat([layer.look(seen) for layer in looks], dim=1)

    def forward(self, tokens: Tensor, past: Tensor, context: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """States [n, t, width] of tokens [n, t], and what is kept of them, [t, 2 layers, n, heads, width / heads].

        ``past`` [p, 2 layers, n, heads, width / heads]: kept of the p tokens before; ``context`` and ``mask`` [n, k]
        of the regions, of one picture for all texts, or one for each.
        """
        before = past.shape[0]
        places = torch.arange(tokens.shape[1], device=tokens.device) + before
        causal = (torch.arange(before + tokens.shape[1], device=tokens.device) <= places[:, None])[None]
        states = self.dropout(self.token_embedding(tokens) + self.position_embedding(places))
        kept = []
        for number, layer in enumerate(self.layers):
            part = slice(2 * number, 2 * number + 2)
            states, new = layer(states, past[:, part], causal, context[:, part], mask)
            kept.append(new)
        return self.norm(states), torch.cat(kept, dim=1)

    def logits(self, states: Tensor) -> Tensor:
        """Logits [..., vocabulary] of the token after each state [..., width]."""
        return states @ self.token_embedding.weight.T

    def nothing(self, texts: int) -> Tensor:
        """The past of so many texts that have not begun."""
        settings = self.settings
        shape = (0, 2 * settings.layers, texts, settings.heads, settings.width // settings.heads)
        return self.token_embedding.weight.new_zeros(shape)


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
        self.past = self.past[:, :, torch.from_numpy(rows).to(self.past.device)]
