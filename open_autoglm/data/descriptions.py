"""Records as a torch data set of texts to write: a prepared picture, its regions, and some of its captions or answers.

It knows the processor, proposals and a decoder's tokens; it knows nothing about the model or how it is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from open_autoglm.runtime.lexicon import END, START, Lexicon
from open_autoglm.runtime.proposals import Proposer

from .pairs import PairCollator, names_side
from .pictures import source_of
from .questions import next_of, padded
from .records import Record, Records
from .sampling import Draw
from .transforms import Transform

IGNORED = -100  # a label that counts for nothing, as torch's cross-entropy has it


@dataclass(frozen=True)
class Text:
    """``written`` follows ``prompt``, which is empty for a caption and the question for an answer."""

    prompt: str
    written: str


def texts_of(record: Record) -> tuple[Text, ...]:
    """What there is to write about a picture: its captions, or where they are questions, the answers to them."""
    if not record.answers:
        return tuple(Text("", caption) for caption in record.captions)
    return tuple(Text(question, answer) for question, answer in zip_longest(record.captions, record.answers))


@dataclass(frozen=True)
class Described:
    """``pixels`` uint8 [height, width, 3]; ``boxes`` float32 [k, 4], fractions."""

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    texts: tuple[Text, ...]
    row: int


class DescriptionDataset(Dataset[Described]):
    """``texts`` of a picture at a time: ``dataset[Draw(epoch, row)]``; ``dataset[index]`` gives all of them.

    What is given follows from seed, epoch and index alone; over the epochs each text is used alike. Where a text names
    a side, the picture is not mirrored.
    """

    def __init__(
        self, records: Records, transform: Transform, propose: Proposer, texts: int = 8, seed: int = 0
    ) -> None:
        self.records, self.transform, self.propose = records, transform, propose
        self.texts, self.seed = texts, seed

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: Draw | int) -> Described:
        epoch, index = draw if isinstance(draw, tuple) else (None, draw)
        record = self.records[index]
        known = texts_of(record)
        chosen = range(len(known)) if epoch is None else next_of(len(known), self.texts, epoch, (self.seed, index))
        texts = tuple(known[one] for one in chosen)
        random = np.random.default_rng([self.seed, 1, epoch or 0, index])
        sided = any(names_side(f"{text.prompt} {text.written}") for text in texts)
        pixels = self.transform(source_of(record.picture, self.transform.limits), random, may_mirror=not sided)
        return Described(pixels, self.propose(pixels), texts, index)


class DescriptionCollator:
    """Pictures with texts to the model's inputs.

    ``pixel_values`` [B, 3, H, W], ``boxes`` [B, k, 4] and ``region_mask`` [B, k]; for all texts ``tokens`` int64
    [N, T], places of ``lexicon``, ``pictures`` int64 [N], which picture each is about, and ``labels`` int64 [N, T],
    what comes after each token, -100 in a prompt and after the end. ``rows`` int64 [B]: the records' indices. What a
    text has beyond ``most_tokens`` is cut off, and its end with it.
    """

    def __init__(self, pairs: PairCollator, tokenizer: Any, lexicon: Lexicon, most_tokens: int) -> None:
        self._pairs, self._tokenizer, self._lexicon, self._most = pairs, tokenizer, lexicon, most_tokens

    def __call__(self, items: Sequence[Described]) -> dict[str, torch.Tensor]:
        boxes, mask = padded([item.boxes for item in items])
        rows = [self._row(text) for item in items for text in item.texts]
        longest = max(len(tokens) for tokens, _ in rows)
        tokens = np.full((len(rows), longest), END, np.int64)
        labels = np.full((len(rows), longest), IGNORED, np.int64)
        for row, (given, due) in enumerate(rows):
            tokens[row, : len(given)], labels[row, : len(due)] = given, due
        return {
            "pixel_values": self._pairs.normalised([item.pixels for item in items]),
            "boxes": torch.from_numpy(boxes),
            "region_mask": torch.from_numpy(mask),
            "tokens": torch.from_numpy(tokens),
            "pictures": torch.tensor([row for row, item in enumerate(items) for _ in item.texts]),
            "labels": torch.from_numpy(labels),
            "rows": torch.tensor([item.row for item in items]),
        }

    def _row(self, text: Text) -> tuple[list[int], list[int]]:
        """The tokens that are given, and those that are due after each."""
        prompt, written = (token_ids(self._tokenizer, part) for part in (text.prompt, text.written))
        places = [START, *self._lexicon.places(prompt), *self._lexicon.places(written), END]
        due = [IGNORED] * len(prompt) + places[len(prompt) + 1 :]
        return places[:-1][: self._most], due[: self._most]


def token_ids(tokenizer: Any, text: str) -> list[int]:
    """A text's tokens without those that a tokenizer adds; of "" none."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
    return ids
