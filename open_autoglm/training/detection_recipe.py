"""A detector's training as typed, frozen data: its model, data, optimisation and output.

It knows nothing about files, tensors or the training loop.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from open_autoglm.data import BoxSettings
from open_autoglm.errors import SettingError

from .recipe import at_least, check_name, within


@dataclass(frozen=True)
class DetectionData:
    """``validation``: pictures to measure on, of which at most ``measured`` are looked at.

    ``classes``: tell the categories apart; without, all boxes are of one class, which is what proposals need and what
    few pictures can teach. ``flip``: half of the pictures are seen mirrored.
    """

    train: BoxSettings
    validation: BoxSettings | None = None
    measured: int = 200
    classes: bool = False
    flip: bool = True

    def __post_init__(self) -> None:
        at_least(self.measured, "measured", 1)


@dataclass(frozen=True)
class DetectorSettings:
    """``start``: a directory or hub id of a detector to go on from; null makes a small RT-DETR (2304.08069) that starts
    at random, for which the rest is:

    - ``picture_size``: height and width in pixels to which pictures are resized. ``channels`` of the backbone's four
      stages; maps of three of them are looked at, the finest ``stride`` (4 or 8) pixels a cell: 4 for small things.
    - ``width`` and ``layers`` of the decoder; ``queries``: boxes that it gives at most.
    """

    start: str | None = None
    picture_size: tuple[int, int] = (320, 320)
    channels: tuple[int, int, int, int] = (16, 32, 64, 128)
    stride: int = 8
    width: int = 128
    layers: int = 3
    queries: int = 60

    def __post_init__(self) -> None:
        for name in ("width", "layers", "queries"):
            at_least(getattr(self, name), name, 1)
        at_least(min(self.picture_size), "picture_size", 32)
        at_least(min(self.channels), "channels", 1)
        if self.width % 8:
            raise SettingError(f"width is {self.width}: it must be a multiple of 8.")
        if self.stride not in (4, 8):
            raise SettingError(f"stride is {self.stride}: it must be 4 or 8.")


@dataclass(frozen=True)
class DetectionOptimisation:
    """AdamW; the rate rises over ``warmup``, a share of all steps, and falls as a cosine. ``clip``: gradient norm."""

    steps: int = 2000
    batch_size: int = 8
    learning_rate: float = 5e-4
    weight_decay: float = 1e-4
    warmup: float = 0.05
    clip: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size"):
            at_least(getattr(self, name), name, 1)
        for name in ("learning_rate", "weight_decay", "clip", "seed"):
            at_least(getattr(self, name), name, 0)
        within(self.warmup, "warmup", 0, 1)


@dataclass(frozen=True)
class DetectionOutput:
    """Where a run goes: ``folder/NAME``, the detector into ``detector`` there; the last ``keep`` checkpoints stay."""

    folder: str = "runs"
    log_every: int = 20
    measure_every: int = 500
    checkpoint_steps: int = 500
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("log_every", "measure_every", "checkpoint_steps", "keep"):
            at_least(getattr(self, name), name, 1)


@dataclass(frozen=True, kw_only=True)
class DetectorRecipe:
    """All of a detector's training; its ``data`` alone must be given. ``task`` tells its recipe from others."""

    name: str = "detector"
    task: Literal["detect"] = "detect"
    data: DetectionData
    model: DetectorSettings = field(default_factory=DetectorSettings)
    optimisation: DetectionOptimisation = field(default_factory=DetectionOptimisation)
    output: DetectionOutput = field(default_factory=DetectionOutput)

    def __post_init__(self) -> None:
        check_name(self.name)
