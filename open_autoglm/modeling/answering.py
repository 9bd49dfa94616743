"""What answers: region and token features of 768 numbers, the fusion decoder, and its heads.

It knows feature maps and token states; it knows nothing about towers, pictures or sentences.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from .fusion import FusionDecoder
from .fusion_settings import FEATURE_WIDTH, FusionSettings
from .regions import RegionEncoder


@dataclass(frozen=True)
class Judgement:
    """``answers`` [B, answers] and ``match`` [B]: logits; ``rests`` [B, k]: how much they rest on each region.

    There may be no answers.
    """

    answers: Tensor
    match: Tensor
    rests: Tensor


class Answering(nn.Module):
    """Features for ``fusion``, and its heads on the state of the first token, which has seen all.

    ``vision``, ``text``: widths of the towers.
    """

    def __init__(self, vision: int, text: int, settings: FusionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.regions = RegionEncoder(vision, FEATURE_WIDTH, settings.pool)
        self.tokens = nn.Sequential(nn.Linear(text, FEATURE_WIDTH), nn.LayerNorm(FEATURE_WIDTH))
        self.fusion = FusionDecoder(settings)
        width = settings.width
        self.answer_head = answer_head(settings) if settings.answers else None
        self.match_head = nn.Linear(width, 1)

    def judge(self, prepared: Tensor, mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Judgement:
        """What token features [B, T, 768] say about prepared regions [B, k, width]."""
        states, rests = self.fusion.fuse(prepared, mask, tokens, token_mask)
        first = states[:, 0]
        answers = first[:, :0] if self.answer_head is None else self.answer_head(first)
        return Judgement(answers, self.match_head(first).squeeze(-1), rests)


def answer_head(settings: FusionSettings) -> nn.Sequential:
    """From a state to a logit for each answer."""
    layers = (nn.Linear(settings.width, settings.width), nn.GELU(), nn.Dropout(settings.dropout))
    return nn.Sequential(*layers, nn.Linear(settings.width, len(settings.answers)))
