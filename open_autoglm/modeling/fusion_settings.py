"""What the fusion decoder is made of, as one typed setting inside of OpenAutoGLMConfig.

It knows names and sizes; it knows nothing about torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from open_autoglm.errors import SettingError

FEATURE_WIDTH = 768
Kind = Literal["cross_attention", "attention_weighted", "gated", "concatenation"]


@dataclass(frozen=True)
class FusionSettings:
    """``kind``: how tokens take from regions, a key of ``fusion.FUSIONS``.

    - ``width``, ``heads``, ``layers``, ``dropout``: of the decoder. ``region_layers``: in which regions look at each
      other before any sentence does, as counting and comparing need.
    - ``both_ways``: in each layer regions look at the words, too, before the words look at them.
    - ``sigmoid``: regions are attended to by sigmoids, which add up, instead of shares of one: for counting.
    - ``selects``: of each region it is said whether the sentence is about it, a question of its own, which training
      data may answer (``data.train.evidence``); the answer adds up what the chosen ones hold. Needs ``both_ways``.
    - ``proposals``: where regions come from: ``kind``, as ``runtime.proposals`` has them, and its settings.
    - ``pool``: cells a side that a region's features are pooled to.
    - ``answers``: what it chooses from; a training fills them in from its data where they are empty.
    - ``match``: whether it was trained to tell if a text matches; a training fills it in.

    Raises SettingError for sizes that do not fit.
    """

    kind: Kind = "cross_attention"
    width: int = 256
    heads: int = 4
    layers: int = 2
    region_layers: int = 0
    dropout: float = 0.1
    both_ways: bool = False
    sigmoid: bool = False
    selects: bool = False
    pool: int = 2
    proposals: Mapping[str, Any] = field(default_factory=lambda: {"kind": "grid"})
    answers: tuple[str, ...] = ()
    match: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", tuple(self.answers))
        if self.kind not in get_args(Kind):
            raise SettingError(f"fusion.kind is {self.kind!r}: it must be one of {', '.join(get_args(Kind))}.")
        if min(self.width, self.heads, self.layers, self.pool) < 1 or self.region_layers < 0:
            raise SettingError("fusion's width, heads, layers and pool are at least 1, and region_layers at least 0.")
        if self.selects and not self.both_ways:
            raise SettingError("fusion.selects needs fusion.both_ways: regions that read no words cannot be chosen.")
        if self.width % self.heads:
            raise SettingError(f"fusion.width is {self.width}, which {self.heads} heads cannot share: make it divide.")
