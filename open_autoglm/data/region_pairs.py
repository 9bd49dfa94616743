"""Records as a torch data set of pairs whose pictures come with proposed regions, and their collator.

It knows proposals; it knows nothing about the model or how it is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from open_autoglm.runtime.proposals import Proposer

from .pairs import Pair, PairCollator, PairDataset
from .questions import padded
from .sampling import Draw


@dataclass(frozen=True)
class RegionPair:
    """``boxes`` float32 [k, 4], fractions of the pair's picture."""

    pair: Pair
    boxes: NDArray[np.float32]


class RegionPairDataset(Dataset[RegionPair]):
    """The same pairs as ``pairs`` gives."""

    def __init__(self, pairs: PairDataset, propose: Proposer) -> None:
        self.pairs, self.propose = pairs, propose
        self.records = pairs.records

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, draw: Draw | int) -> RegionPair:
        pair = self.pairs[draw]
        return RegionPair(pair, self.propose(pair.pixels))


class RegionPairCollator:
    """What ``PairCollator`` makes of the pairs, with ``boxes`` [B, k, 4] and ``region_mask`` [B, k]."""

    def __init__(self, pairs: PairCollator) -> None:
        self.pairs = pairs

    def __call__(self, items: Sequence[RegionPair]) -> dict[str, torch.Tensor]:
        boxes, mask = padded([item.boxes for item in items])
        together = self.pairs([item.pair for item in items])
        return together | {"boxes": torch.from_numpy(boxes), "region_mask": torch.from_numpy(mask)}
