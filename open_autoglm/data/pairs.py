"""Records as a torch data set: a prepared picture and one of its captions, collated to the model's inputs.

It knows the processor; it knows nothing about the model or how it is trained.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from open_autoglm.errors import DataError, ImageError
from open_autoglm.modeling import OpenAutoGLMImageProcessor, OpenAutoGLMProcessor
from open_autoglm.modeling.processor import tokenized

from .pictures import source_of
from .records import Records
from .sampling import Draw, PairSampler
from .transforms import Transform

_log = logging.getLogger(__name__)
_SIDES = re.compile(r"\b(left|right|(left|right)(most|ward|wards)|(anti|counter)?clockwise)\b", re.IGNORECASE)
_TRIES = 20  # pictures in a row that may have become unreadable before the training stops


@dataclass(frozen=True)
class Pair:
    """``pixels`` uint8 [height, width, 3]; ``label`` as in ``Records.labels``; ``row`` is the record's index."""

    pixels: NDArray[np.uint8]
    caption: str
    label: int
    row: int


class PairDataset(Dataset[Pair]):
    """One pair a picture: ``dataset[Draw(epoch, row)]``, or ``dataset[index]`` for epoch 0.

    A pair follows from seed, epoch and index alone, in whatever process it is made. Over as many epochs as a picture
    has captions each is used once. Where a caption names a side, the picture is not mirrored. A picture that has become
    unreadable since it was loaded is named in the log and the next one takes its place, so that batches keep their
    size; DataError after 20 in a row.
    """

    def __init__(self, records: Records, transform: Transform, seed: int = 0) -> None:
        self.records = records
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: Draw | int) -> Pair:
        epoch, first = draw if isinstance(draw, tuple) else (0, draw)
        for step in range(min(_TRIES, len(self.records))):
            index = (first + step) % len(self.records)
            try:
                return self._pair(epoch, index)
            except ImageError as error:
                _log.warning("%s: %s Another picture takes its place.", self.records[index].where, error)
        raise DataError(
            f"{_TRIES} pictures in a row, from {self.records[first].where} on, can no longer be read: check that the "
            "disk or network folder they lie on is there."
        )

    def caption(self, epoch: int, index: int) -> str:
        """The caption that this epoch uses."""
        captions = self.records[index].captions
        cycle, place = divmod(epoch, len(captions))
        order = np.random.default_rng([self.seed, 0, cycle, index]).permutation(len(captions))
        return captions[order[place]]

    def _pair(self, epoch: int, index: int) -> Pair:
        record, caption = self.records[index], self.caption(epoch, index)
        source = source_of(record.picture, self.transform.limits)
        random = np.random.default_rng([self.seed, 1, epoch, index])
        pixels = self.transform(source, random, may_mirror=not names_side(caption))
        return Pair(pixels, caption, int(self.records.labels[index]), index)


class PairCollator:
    """Pairs to the model's inputs.

    ``pixel_values`` float32 [B, 3, H, W]; ``input_ids`` and ``attention_mask`` int64 [B, T], cut at ``max_tokens``;
    ``labels`` int64 [B], equal for matches; ``rows`` int64 [B], the records' indices, to name a batch by.
    With ``pad_text`` texts are padded to ``max_tokens`` and the padding is attended to (OpenAutoGLMConfig.pad_text).
    """

    def __init__(self, processor: OpenAutoGLMProcessor, max_tokens: int = 128, pad_text: bool = False) -> None:
        self._tokenizer = processor.tokenizer
        self._prepared = replace(processor.image_processor.preprocessing, resize="squash", crop_from=None)
        self._max_tokens = max_tokens
        self._pad_text = pad_text

    def __call__(self, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
        return {
            "pixel_values": self.normalised([pair.pixels for pair in pairs]),
            **self.texts([pair.caption for pair in pairs]),
            "labels": torch.tensor([pair.label for pair in pairs]),
            "rows": torch.tensor([pair.row for pair in pairs]),
        }

    def normalised(self, pixels: list[NDArray[np.uint8]]) -> torch.Tensor:
        """Pictures in whatever size they come: a squash to their own size leaves them as they are."""
        height, width, _ = pixels[0].shape
        processor = OpenAutoGLMImageProcessor(**asdict(replace(self._prepared, height=height, width=width)))
        found: torch.Tensor = processor(pixels, return_tensors="pt")["pixel_values"]
        return found

    def texts(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask`` of the captions alone."""
        return tokenized(self._tokenizer, captions, self._max_tokens, self._pad_text)


def names_side(text: str) -> bool:
    """Whether a text would be wrong about a mirrored picture."""
    return _SIDES.search(text) is not None


def pair_loader(
    dataset: PairDataset, sampler: PairSampler, collator: PairCollator, workers: int = 0
) -> DataLoader[Any]:
    """The loader of batches. It draws nothing from torch's global generator, so that a resumed run is bit-exact."""
    return DataLoader(
        dataset,
        batch_sampler=sampler,
        collate_fn=collator,
        num_workers=workers,
        persistent_workers=workers > 0,
        generator=torch.Generator(),
    )
