"""The data of a training: records by split, how pictures are prepared, and what an evaluation compares.

It knows recipes and data; it knows nothing about models or optimisers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from open_autoglm.data import (
    EvalTransform,
    Records,
    TrainTransform,
    Transform,
    open_source,
    split,
)
from open_autoglm.modeling import OpenAutoGLMProcessor

from .recipe import Recipe, TrainingData


@dataclass(frozen=True)
class Splits:
    """The records that are trained and validated on; ``validation`` is None where nothing is kept back."""

    train: Records
    validation: Records | None

    @property
    def fingerprints(self) -> dict[str, str]:
        """What tells other data from this."""
        return {name: part.fingerprint for name, part in self.named.items()}

    @property
    def named(self) -> dict[str, Records]:
        """The splits there are, ``train`` first."""
        return {"train": self.train} | ({"validation": self.validation} if self.validation is not None else {})


def open_splits(data: TrainingData, seed: int, progress: Callable[[int], None] | None = None) -> Splits:
    """Reads the data that a recipe names."""
    train = open_source(data.train, progress)
    if data.validation is not None:
        return Splits(train, open_source(data.validation, progress))
    return Splits(*split(train, data.validation_share, seed)) if data.validation_share else Splits(train, None)


def transforms(
    recipe: Recipe, training: OpenAutoGLMProcessor, used: OpenAutoGLMProcessor
) -> tuple[Transform, Transform]:
    """How pictures are prepared that are trained on, and those that are evaluated."""
    data, prepared = recipe.data, training.image_processor.preprocessing
    limits = data.train.limits
    varied: Transform = EvalTransform(prepared, limits)
    if data.augmentation is not None:
        varied = TrainTransform(prepared, data.augmentation, limits)
    return varied, EvalTransform(used.image_processor.preprocessing, data.kept_back.limits)


def sample(records: Records, most: int, seed: int) -> Records:
    """At most so many of the records, the same ones each time."""
    if len(records) <= most:
        return records
    chosen = np.random.default_rng(seed).permutation(len(records))[:most]
    return records.select(np.sort(chosen).tolist())


def captions_of(records: Records) -> tuple[list[str], NDArray[np.bool_]]:
    """Every caption once, and which belong to which record [records, captions]: its own and those of its label."""
    owners: dict[str, list[int]] = {}
    for row, record in enumerate(records):
        for caption in record.captions:
            owners.setdefault(caption, []).append(row)
    positive = np.zeros((len(records), len(owners)), np.bool_)
    for column, rows in enumerate(owners.values()):
        positive[:, column] = np.isin(records.labels, records.labels[rows])
        positive[rows, column] = True
    return list(owners), positive
