"""What a training is made of before it starts, and how it ended.

It knows nothing about how a training goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from open_autoglm.modeling import OpenAutoGLMProcessor

from .material import Splits
from .trainer import RecipeTrainer


@dataclass(frozen=True)
class Outcome:
    """How a training ended: ``step`` of ``steps``, ``seconds`` trained, the ``figures`` of the weights that were kept.

    ``bundle`` is None where the training was ``stopped`` before its end; it goes on with ``resume``. ``notes``: a
    sentence on each of its graphs that could not be had in int8.
    """

    folder: Path
    bundle: Path | None
    step: int
    steps: int
    seconds: float
    figures: Mapping[str, float]
    stopped: bool
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A training that is ready to start."""

    trainer: RecipeTrainer
    processor: OpenAutoGLMProcessor
    splits: Splits
