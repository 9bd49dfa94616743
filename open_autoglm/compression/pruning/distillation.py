"""A pruned model learns to give what the full one gives: maps, vectors, similarities and answers.

It knows both models and prepared pictures and sentences; it knows nothing about how the one became smaller.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.errors import SettingError, TrainingError
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.vision import resized

from .calibration import Calibration

STATE = "distillation.pt"
Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Distillation:
    """How the recovery goes.

    - ``steps`` of AdamW at ``learning_rate``, which falls to nothing along a cosine, after ``warmup`` of them.
    - ``size``: the side in pixels of the crops that the picture tower learns on, at random places and scales from
      ``smallest`` of the picture's side up, half of them mirrored.
    - Weights of the losses. ``maps``: squared difference of the last states (each cell, each token), relative to the
      teacher's; ``vectors``: 1 - cosine in the shared space; ``similarities``: KL divergence of each vector's
      similarities to the batch, softened by ``temperature``; ``answers``: KL divergence of the decoder's logits.
    - ``save_every``: steps between two saved states, where there is a folder for them.
    """

    steps: int = 300
    learning_rate: float = 5e-4
    warmup: int = 10
    size: int = 224
    smallest: float = 0.3
    maps: float = 1.0
    vectors: float = 1.0
    similarities: float = 0.5
    answers: float = 1.0
    temperature: float = 0.05
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.save_every < 1 or not self.learning_rate > 0:
            raise SettingError("A distillation needs steps, a learning rate above 0, and steps between saved states.")
        if not 0 < self.smallest <= 1:
            raise SettingError(f"The smallest scale of a crop is above 0 and at most 1, and not {self.smallest}.")


def distil(
    student: OpenAutoGLM,
    teacher: OpenAutoGLM,
    calibration: Calibration,
    settings: Distillation | None = None,
    folder: Path | None = None,
    report: Report | None = None,
) -> OpenAutoGLM:
    """A copy of the student that has learned from the teacher; ``report`` is told of every step and its losses.

    Towers learn, of the kinds that ``calibration`` has batches for, and decoders where there are both; heads, word
    embeddings and the norms' statistics stay as they are. With ``folder`` the state is saved there, and a distillation
    that was broken off goes on as if there had been no break. SettingError for an empty calibration; TrainingError for
    a loss that is not a number, and for a saved state of another distillation.
    """
    settings = settings or Distillation()
    if not calibration.pictures and not calibration.sentences:
        raise SettingError("There is nothing to learn on: give pictures or sentences that are like those of its use.")
    learner, teacher = copy.deepcopy(student).eval(), teacher.eval()
    learning = learning_parameters(learner, calibration)
    optimiser = torch.optim.AdamW(learning, lr=settings.learning_rate, weight_decay=0.0)
    first = load(folder, learner, optimiser, settings)
    for step in range(first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * pace(step, settings)
        losses = step_losses(learner, teacher, calibration, settings, step)
        loss = torch.stack(list(losses.values())).sum()
        if not bool(loss.isfinite()):
            raise TrainingError(f"The loss is not a number in step {step + 1}: lower the learning rate.")
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        if report is not None:
            report(step + 1, {name: float(value) for name, value in losses.items()})
        if folder is not None and ((step + 1) % settings.save_every == 0 or step + 1 == settings.steps):
            save(folder, learner, optimiser, settings, step + 1)
    return learner.requires_grad_(True)


def learning_parameters(model: OpenAutoGLM, calibration: Calibration) -> list[nn.Parameter]:
    """Those that learn; all others are told not to."""
    model.requires_grad_(False)
    parts: list[nn.Module] = []
    if calibration.pictures:
        model.vision.tower.to(memory_format=torch.channels_last)  # convolutions learn half again as fast
        parts.append(model.vision.tower)
    if calibration.sentences:
        parts += [part for name, part in model.text.tower.named_children() if name == "encoder"]
    if calibration.pictures and calibration.sentences and model.answering is not None:
        parts.append(model.answering)
    return [parameter.requires_grad_(True) for part in parts for parameter in part.parameters()]


def pace(step: int, settings: Distillation) -> float:
    """The part of the learning rate that a step takes."""
    rising = min(1.0, (step + 1) / max(1, settings.warmup))
    return rising * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def step_losses(
    student: OpenAutoGLM, teacher: OpenAutoGLM, calibration: Calibration, settings: Distillation, step: int
) -> dict[str, Tensor]:
    """The weighted losses of one step, by name; which batches and crops it takes follows from the step alone."""
    random = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    losses: dict[str, Tensor] = {}
    pixels = said = None
    if calibration.pictures:
        (given,) = one_of(calibration.pictures, random)
        pixels = crops(given, settings, random).contiguous(memory_format=torch.channels_last)
        losses |= compared(picture_side(student, pixels), still(picture_side, teacher, pixels), settings, "pictures")
    if calibration.sentences:
        said = one_of(calibration.sentences, random)
        losses |= compared(text_side(student, *said), still(text_side, teacher, *said), settings, "sentences")
    if pixels is not None and said is not None and student.answering is not None and student.answers:
        losses["answers"] = settings.answers * answers_apart(student, teacher, pixels, said)
    return losses


def one_of(batches: Calibration.Batches, random: torch.Generator) -> tuple[Tensor, ...]:
    """A batch by chance."""
    return batches[int(torch.randint(len(batches), (), generator=random))]
