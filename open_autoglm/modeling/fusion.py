"""The fusion decoder: a sentence's tokens look at a picture's regions, layer by layer.

How they look is one choice of four; it knows nothing about how regions and tokens were made, or what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from .attention import Attention, feed_forward
from .fusion_settings import FEATURE_WIDTH, FusionSettings
from .interactions import Concatenation, Gated


@dataclass(frozen=True)
class Fused:
    """``states`` [B, t, width] of tokens and ``regions`` [B, k, width] after all layers.

    ``rests`` [B, k]: how much the sentence rests on each region in the last layer; adds up to 1 where there are any.
    """

    states: Tensor
    regions: Tensor
    rests: Tensor


class Mixer(Protocol):
    """What tokens [B, t, d] take from regions [B, k, d], mask [B, k]: [B, t, d], and the regions' weights [B, t, k]."""

    def __call__(self, tokens: Tensor, token_mask: Tensor, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]: ...


class CrossAttentionMixer(nn.Module):
    """Every token attends to the regions on its own."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.attention = Attention(settings.width, settings.heads, settings.dropout, settings.sigmoid)

    def forward(self, tokens: Tensor, token_mask: Tensor, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.attention(tokens, regions, mask)


class AttentionWeightedMixer(nn.Module):
    """The sentence as a whole weighs the regions; every token gets the same weighted sum."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.attention = Attention(settings.width, 1, settings.dropout)

    def forward(self, tokens: Tensor, token_mask: Tensor, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        found, weights = self.attention(masked_mean(tokens, token_mask), regions, mask)
        return found.expand_as(tokens), weights.expand(-1, tokens.shape[1], -1)


class GatedMixer(nn.Module):
    """A sigmoid gate for each number lets in the token or the mean region."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.gated = Gated(2, settings.width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, tokens: Tensor, token_mask: Tensor, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.dropout(self.gated(beside(tokens, regions, mask))), even(tokens, mask)


class ConcatenationMixer(nn.Module):
    """The token and the mean region through one linear layer."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.joined = Concatenation(2, settings.width)
        self.linear = nn.Linear(self.joined.width, settings.width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, tokens: Tensor, token_mask: Tensor, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.dropout(self.linear(self.joined(beside(tokens, regions, mask)))), even(tokens, mask)


FUSIONS: Mapping[str, Callable[[FusionSettings], nn.Module]] = {
    "cross_attention": CrossAttentionMixer,
    "attention_weighted": AttentionWeightedMixer,
    "gated": GatedMixer,
    "concatenation": ConcatenationMixer,
}
"""By name, ``FusionSettings.kind``."""


class FusionLayer(nn.Module):
    """Tokens look at each other, then at the regions, then each is worked on alone; norms come first.

    With ``both_ways`` the regions look at the tokens before that, and at each other (ViLBERT, 1908.02265; LXMERT,
    1908.07490): what is said of a thing is settled where the thing is.
    """

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        width = settings.width
        self.reader = RegionReader(settings) if settings.both_ways else None
        self.self_norm, self.mix_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention = Attention(width, settings.heads, settings.dropout)
        self.mixer = FUSIONS[settings.kind](settings)
        self.feed_forward = feed_forward(width, settings.dropout)

    def forward(
        self, tokens: Tensor, token_mask: Tensor, regions: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens and regions after the layer, and the regions' weights [B, t, k]."""
        normed = self.self_norm(tokens)
        tokens = tokens + self.self_attention(normed, normed, token_mask)[0]
        if self.reader is not None:
            regions = self.reader(regions, mask, tokens, token_mask)
        taken, weights = self.mixer(self.mix_norm(tokens), token_mask, regions, mask)
        tokens = tokens + taken
        return tokens + self.feed_forward(tokens), regions, weights


class RegionReader(nn.Module):
    """Regions look at the tokens, whose words scale and shift them (FiLM, 1709.07871), then at each other."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.norm, self.token_norm = nn.LayerNorm(settings.width), nn.LayerNorm(settings.width)
        self.attention = Attention(settings.width, settings.heads, settings.dropout)
        self.modulation = nn.Linear(settings.width, 2 * settings.width)
        self.layer = RegionLayer(settings)

    def forward(self, regions: Tensor, mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        normed = self.norm(regions)
        scale, shift = self.modulation(self.attention(normed, self.token_norm(tokens), token_mask)[0]).chunk(2, dim=-1)
        looked: Tensor = self.layer(regions + normed * scale + shift, mask)
        return looked


class RegionLayer(nn.Module):
    """Regions look at each other."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(settings.width)
        self.attention = Attention(settings.width, settings.heads, settings.dropout, settings.sigmoid)
        self.feed_forward = feed_forward(settings.width, settings.dropout)

    def forward(self, regions: Tensor, mask: Tensor) -> Tensor:
        normed = self.norm(regions)
        regions = regions + self.attention(normed, normed, mask)[0]
        return regions + self.feed_forward(regions)


class FusionDecoder(nn.Module):
    """``prepare`` a picture once, ``fuse`` it with as many sentences as there are."""

    def __init__(self, settings: FusionSettings) -> None:
        super().__init__()
        self.region_in, self.token_in = (nn.Linear(FEATURE_WIDTH, settings.width) for _ in range(2))
        self.region_layers = nn.ModuleList(RegionLayer(settings) for _ in range(settings.region_layers))
        self.region_norm, self.token_norm = nn.LayerNorm(settings.width), nn.LayerNorm(settings.width)
        self.layers = nn.ModuleList(FusionLayer(settings) for _ in range(settings.layers))

    def prepare(self, regions: Tensor, mask: Tensor) -> Tensor:
        """Region features [B, k, 768] and their mask [B, k] as what sentences look at, [B, k, width]."""
        prepared = self.region_in(regions)
        for layer in self.region_layers:
            prepared = layer(prepared, mask)
        return self.region_norm(prepared)

    def fuse(self, prepared: Tensor, mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Fused:
        """Token features [B, t, 768] with prepared regions [B, k, width]."""
        states, regions = self.token_in(tokens), prepared
        weights = prepared.new_zeros(*tokens.shape[:2], prepared.shape[1])
        for layer in self.layers:
            states, regions, weights = layer(states, token_mask, regions, mask)
        rests = masked_mean(weights, token_mask).squeeze(1) * mask
        return Fused(self.token_norm(states), regions, rests / rests.sum(dim=1, keepdim=True).clamp(min=1e-12))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean [B, 1, d] of those values [B, n, d] that the mask [B, n] has."""
    there = mask.unsqueeze(-1).to(values.dtype)
    return (values * there).sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True).clamp(min=1.0)


def beside(tokens: Tensor, regions: Tensor, mask: Tensor) -> Tensor:
    """Each token and the mean region as two fields, [B, t, 2, d]."""
    return torch.stack([tokens, masked_mean(regions, mask).expand_as(tokens)], dim=-2)


def even(tokens: Tensor, mask: Tensor) -> Tensor:
    """The weights [B, t, k] of a mean."""
    share = mask.to(tokens.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    return share.unsqueeze(1).expand(-1, tokens.shape[1], -1)
