"""Records as a torch data set of questions: a prepared picture, its regions, and some of its questions with answers.

It knows the processor and proposals; it knows nothing about the model or how it is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from open_autoglm.errors import DataError
from open_autoglm.runtime.proposals import Proposer

from .pairs import PairCollator
from .pictures import source_of
from .records import Boxes, Records
from .sampling import Draw
from .transforms import Transform

ALIKE = 0.5  # intersection over union from which a proposed region is one that an answer rests on


@dataclass(frozen=True)
class Questions:
    """``pixels`` uint8 [height, width, 3]; ``boxes`` float32 [k, 4], fractions; ``answers``: their places in a list.

    ``evidence`` bool [q, k]: the boxes that an answer rests on; ``known`` bool [q]: whether the data says so.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    questions: tuple[str, ...]
    answers: tuple[int, ...]
    evidence: NDArray[np.bool_]
    known: NDArray[np.bool_]
    row: int


class QuestionDataset(Dataset[Questions]):
    """``questions`` of a picture at a time: ``dataset[Draw(epoch, row)]``; ``dataset[index]`` gives all of them.

    What is given follows from seed, epoch and index alone; over the epochs each question is used alike. ``answers``:
    what may be answered. DataError for an answer that is not among them.
    """

    def __init__(
        self,
        records: Records,
        transform: Transform,
        propose: Proposer,
        answers: Sequence[str],
        questions: int = 8,
        seed: int = 0,
    ) -> None:
        self.records, self.transform, self.propose = records, transform, propose
        self.questions, self.seed = questions, seed
        self.places = {answer: place for place, answer in enumerate(answers)}
        for record in records:
            for answer in record.answers:
                if answer not in self.places:
                    raise DataError(f"{record.where} has the answer {answer!r}, which no training question has.")

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, draw: Draw | int) -> Questions:
        epoch, index = draw if isinstance(draw, tuple) else (None, draw)
        record = self.records[index]
        chosen: Sequence[int] = range(len(record.captions))
        if epoch is not None:
            chosen = next_of(len(record.captions), self.questions, epoch, (self.seed, index))
        random = np.random.default_rng([self.seed, 1, epoch or 0, index])
        pixels = self.transform(source_of(record.picture, self.transform.limits), random, may_mirror=False)
        questions = tuple(record.captions[one] for one in chosen)
        answers = tuple(self.places[record.answers[one]] for one in chosen)
        boxes = self.propose(pixels)
        said = [record.evidence[one] if record.evidence else None for one in chosen]
        evidence = np.array([matching(boxes, one or ()) for one in said]).reshape(len(said), len(boxes))
        known = np.array([one is not None for one in said], np.bool_)
        return Questions(pixels, boxes, questions, answers, evidence, known, index)


def matching(boxes: NDArray[np.float32], wanted: Boxes) -> NDArray[np.bool_]:
    """Which of the boxes [k, 4] are one of the wanted: bool [k], at least half of both together being shared."""
    if not wanted:
        return np.zeros(len(boxes), np.bool_)
    others = np.array(wanted, np.float32)
    start = np.maximum(boxes[:, None, :2], others[None, :, :2])
    end = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (end - start).clip(0).prod(-1)
    areas = [(one[:, 2:] - one[:, :2]).prod(-1) for one in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    found: NDArray[np.bool_] = (shared >= ALIKE * union).any(1)
    return found


class QuestionCollator:
    """Pictures with questions to the model's inputs.

    ``pixel_values`` [B, 3, H, W], ``boxes`` [B, k, 4] and ``region_mask`` [B, k]; for all questions ``input_ids`` and
    ``attention_mask`` [N, T], ``pictures`` int64 [N], which picture each is about, and ``labels`` int64 [N], the places
    of their answers; ``evidence`` float32 [N, k], 1 for a region that an answer rests on, and ``known`` bool [N],
    whether the data says so. ``rows`` int64 [B]: the records' indices.
    """

    def __init__(self, pairs: PairCollator) -> None:
        self._pairs = pairs

    def __call__(self, items: Sequence[Questions]) -> dict[str, torch.Tensor]:
        boxes, mask = padded([item.boxes for item in items])
        owners = [row for row, item in enumerate(items) for _ in item.questions]
        return {
            "pixel_values": self._pairs.normalised([item.pixels for item in items]),
            "boxes": torch.from_numpy(boxes),
            "region_mask": torch.from_numpy(mask),
            **self._pairs.texts([question for item in items for question in item.questions]),
            "pictures": torch.tensor(owners),
            "labels": torch.tensor([answer for item in items for answer in item.answers]),
            "evidence": torch.from_numpy(widened([item.evidence for item in items], boxes.shape[1])),
            "known": torch.from_numpy(np.concatenate([item.known for item in items])),
            "rows": torch.tensor([item.row for item in items]),
        }


def next_of(count: int, most: int, epoch: int, seed: tuple[int, int]) -> list[int]:
    """An epoch's share of shuffled rounds through ``count`` things, ``most`` at a time; ``seed`` with the record's."""
    chosen = list[int]()
    for place in range(epoch * most, epoch * most + min(most, count)):
        cycle, step = divmod(place, count)
        chosen.append(int(np.random.default_rng([seed[0], 0, cycle, seed[1]]).permutation(count)[step]))
    return chosen


def padded(boxes: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Boxes of several pictures as one array [B, k, 4], and which of them there are [B, k]."""
    most = max(len(one) for one in boxes)
    together, mask = np.zeros((len(boxes), most, 4), np.float32), np.zeros((len(boxes), most), np.bool_)
    for row, one in enumerate(boxes):
        together[row, : len(one)], mask[row, : len(one)] = one, True
    return together, mask


def widened(evidence: Sequence[NDArray[np.bool_]], most: int) -> NDArray[np.float32]:
    """The evidence of several pictures, each [q, k], as one array [N, most]."""
    together = np.zeros((sum(len(one) for one in evidence), most), np.float32)
    row = 0
    for one in evidence:
        together[row : row + len(one), : one.shape[1]] = one
        row += len(one)
    return together
