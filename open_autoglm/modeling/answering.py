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

    There may be no answers. ``chosen`` [B, k]: logits of the sentence being about each region, where it selects.
    """

    answers: Tensor
    match: Tensor
    rests: Tensor
    chosen: Tensor | None = None


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
        self.selection = Selection(width) if settings.selects else None

    def judge(self, prepared: Tensor, mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Judgement:
        """What token features [B, T, 768] say about prepared regions [B, k, width]."""
        fused = self.fusion.fuse(prepared, mask, tokens, token_mask)
        first, rests, chosen = fused.states[:, 0], fused.rests, None
        if self.selection is not None:
            chosen, held = self.selection(fused.regions, mask)
            first = first + held
            shares = chosen.sigmoid() * mask
            rests = shares / shares.sum(dim=1, keepdim=True).clamp(min=1.0)  # on nothing where it found nothing
        answers = first[:, :0] if self.answer_head is None else self.answer_head(first)
        return Judgement(answers, self.match_head(first).squeeze(-1), rests, chosen)


def answer_head(settings: FusionSettings) -> nn.Sequential:
    """From a state to a logit for each answer."""
    layers = (nn.Linear(settings.width, settings.width), nn.GELU(), nn.Dropout(settings.dropout))
    return nn.Sequential(*layers, nn.Linear(settings.width, len(settings.answers)))


class Selection(nn.Module):
    """Which regions a sentence is about, each by a sigmoid of its own, and the sum of what those hold.

    A sum, so that it counts (1802.05766 counts by adding up soft choices, too).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.choose, self.hold = nn.Linear(width, 1), nn.Linear(width, width)

    def forward(self, regions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Regions [B, k, width] to logits [B, k], and the sum [B, width]."""
        normed = self.norm(regions)
        chosen = self.choose(normed).squeeze(-1)
        shares = (chosen.sigmoid() * mask).unsqueeze(1)
        return chosen, (shares @ self.hold(normed)).squeeze(1)
