"""How close pictures and texts are, for tensors: cosine, Euclidean, bilinear, and region-word late interaction.

The same definitions for arrays live in ``runtime/similarity.py``; a test holds the two together. It knows nothing
about losses or how the vectors were made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from open_autoglm.errors import SettingError

LOWEST_COSINE = -1.0
# Cells [pictures, texts, regions, words] that late interaction holds at a time: 64 MiB of float32.
BLOCK_CELLS = 1 << 24


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., d] at length 1, zeros as they are; ``F.normalize`` is exported with an expansion in between."""
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp(min=1e-12)


@dataclass(frozen=True)
class Parts:
    """Unit vectors [n, p, d] of regions or words, and which of them there are [n, p], bool."""

    vectors: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Features:
    """One side of a comparison: a unit vector a picture or sentence [n, d], and its parts where they are needed."""

    whole: Tensor
    parts: Parts | None = None

    @property
    def vectors(self) -> list[Tensor]:
        """The tensors that carry gradients, the whole's first."""
        return [self.whole] if self.parts is None else [self.whole, self.parts.vectors]

    def map(self, change: Callable[[Tensor], Tensor]) -> Features:
        """The same with every tensor changed, masks included."""
        parts = self.parts and Parts(change(self.parts.vectors), change(self.parts.mask))
        return Features(change(self.whole), parts)


class Similarity(Protocol):
    """Pictures [n] against texts [m]: [n, m], higher is closer; an ``nn.Module``, as some have weights."""

    needs_parts: bool

    def __call__(self, images: Features, texts: Features) -> Tensor: ...

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]: ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]: ...


Forward = Callable[[Any, Features, Features], Tensor]


def full_precision(forward: Forward) -> Forward:
    """Compares in float32 or better, also under autocast: at a scale of 100, bfloat16 is off by 0.4 in the logits."""

    def precise(tensor: Tensor) -> Tensor:
        return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor

    @wraps(forward)
    def compare(module: Any, images: Features, texts: Features) -> Tensor:
        with torch.autocast(images.whole.device.type, enabled=False):
            return forward(module, images.map(precise), texts.map(precise))

    return compare


class Cosine(nn.Module):
    """The inner product of unit vectors, in -1..1."""

    needs_parts = False

    @full_precision
    def forward(self, images: Features, texts: Features) -> Tensor:
        return images.whole @ texts.whole.T


class Euclidean(nn.Module):
    """The negative squared distance, at most 0; of unit vectors it is 2 cos - 2, and ranks as the cosine does."""

    needs_parts = False

    @full_precision
    def forward(self, images: Features, texts: Features) -> Tensor:
        lengths = images.whole.square().sum(1)[:, None] + texts.whole.square().sum(1)[None]
        return (2 * images.whole @ texts.whole.T - lengths).clamp(max=0)


class Bilinear(nn.Module):
    """``image @ matrix @ text`` with a learned ``matrix`` [d, d] that starts as the identity, that is, as cosine."""

    needs_parts = False

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.eye(dimension))

    @full_precision
    def forward(self, images: Features, texts: Features) -> Tensor:
        return images.whole @ self.matrix @ texts.whole.T


class RegionWord(nn.Module):
    """For each word the cosine of its best region; the mean over the words (SCAN, 1803.08024; FILIP, 2111.07783).

    This is FILIP's text-to-image half, used for both directions: every word must be somewhere in the picture, but
    not every region must be spoken of. A sentence without words scores 0, a picture without regions -1.
    """

    needs_parts = True

    @full_precision
    def forward(self, images: Features, texts: Features) -> Tensor:
        regions, words = both_parts(images, texts)
        cells = max(1, words.mask.numel() * regions.mask.shape[1])
        rows = max(1, BLOCK_CELLS // cells)
        if len(regions.mask) <= rows:
            return _mean_of_best(regions, words)
        blocks = zip(regions.vectors.split(rows), regions.mask.split(rows), strict=True)
        # Recomputed in the backward pass: the cells of all pictures and texts would not fit.
        return torch.cat(
            [
                checkpoint(_mean_of_best, Parts(*block), words, use_reentrant=False, preserve_rng_state=False)
                for block in blocks
            ]
        )

    @torch.no_grad()
    def best_regions(self, images: Features, texts: Features) -> Tensor:
        """The index of each word's best region, [pictures, texts, words]; of no meaning for a masked word."""
        regions, words = both_parts(images, texts)
        return _cosines(regions, words).argmax(dim=2)


def both_parts(images: Features, texts: Features) -> tuple[Parts, Parts]:
    """The regions and the words. SettingError where one side has whole vectors only."""
    if images.parts is None or texts.parts is None:
        raise SettingError("Region-word similarity needs regions and words; encode with parts, or choose cosine.")
    return images.parts, texts.parts


def _cosines(regions: Parts, words: Parts) -> Tensor:
    """Every region against every word, [n, m, regions, words]; a masked region is the farthest there is."""
    cosines = torch.einsum("nrd,mwd->nmrw", regions.vectors, words.vectors)
    return cosines.masked_fill(~regions.mask[:, None, :, None], LOWEST_COSINE)


def _mean_of_best(regions: Parts, words: Parts) -> Tensor:
    best = _cosines(regions, words).amax(dim=2) * words.mask
    return best.sum(dim=-1) / words.mask.sum(dim=-1).clamp(min=1)


SIMILARITIES: Mapping[str, Callable[[int], Similarity]] = {
    "cosine": lambda dimension: Cosine(),
    "euclidean": lambda dimension: Euclidean(),
    "bilinear": Bilinear,
    "region_word": lambda dimension: RegionWord(),
}
"""By name, made for vectors of a width."""


def pad_parts(parts: Parts, width: int) -> Parts:
    """The same parts padded to ``width`` of them, the padding masked."""
    missing = width - parts.mask.shape[1]
    vectors = nn.functional.pad(parts.vectors, (0, 0, 0, missing))
    return Parts(vectors, nn.functional.pad(parts.mask, (0, missing)))


def join(sides: Sequence[Features]) -> Features:
    """Several batches' features as one; regions and words are padded to the most there are."""
    whole = torch.cat([side.whole for side in sides])
    parts = [side.parts for side in sides if side.parts is not None]
    if not parts:
        return Features(whole)
    width = max(part.mask.shape[1] for part in parts)
    padded = [pad_parts(part, width) for part in parts]
    return Features(whole, Parts(torch.cat([one.vectors for one in padded]), torch.cat([one.mask for one in padded])))
