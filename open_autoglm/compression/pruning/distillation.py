"""A pruned model learns to give what the full one gives: maps, vectors, similarities and answers.

It knows both models and prepared pictures and sentences; it knows nothing about how the one became smaller.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from open_autoglm.errors import SettingError, TrainingError
from open_autoglm.modeling import OpenAutoGLM

from .calibration import Calibration
from .distillation_losses import step_losses
from .distillation_settings import Distillation
from .magnitude import Zeros, tower_weights

STATE = "distillation.pt"
Report = Callable[[int, dict[str, float]], None]


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
    embeddings, the norms' statistics and weights that are zero stay as they are. With ``folder`` the state is saved
    there, and a distillation that was broken off goes on as if there had been no break. SettingError for an empty
    calibration; TrainingError for a loss that is not a number, and for a saved state of another distillation.
    """
    settings = settings or Distillation()
    if not calibration.pictures and not calibration.sentences:
        raise SettingError("There is nothing to learn on: give pictures or sentences that are like those of its use.")
    learner, teacher = (copy.deepcopy(model).eval().requires_grad_(False) for model in (student, teacher))
    for model in (learner, teacher):
        model.vision.tower.to(memory_format=torch.channels_last)  # convolutions run half again as fast
    learning = learning_parameters(learner, calibration)
    optimiser = torch.optim.AdamW(learning, lr=settings.learning_rate, weight_decay=0.0)
    zeros = Zeros(tower_weights(learner))
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
        zeros.keep()
        if report is not None:
            report(step + 1, {name: float(value.detach()) for name, value in losses.items()})
        if folder is not None and ((step + 1) % settings.save_every == 0 or step + 1 == settings.steps):
            save(folder, learner, optimiser, settings, step + 1)
    return learner.requires_grad_(True)


def learning_parameters(model: OpenAutoGLM, calibration: Calibration) -> list[nn.Parameter]:
    """Those that learn, told so."""
    parts: list[nn.Module] = []
    if calibration.pictures:
        parts.append(model.vision.tower)
    if calibration.sentences:
        parts += [part for name, part in model.text.tower.named_children() if name == "encoder"]
    if calibration.pictures and calibration.sentences and model.answering is not None:
        parts.append(model.answering)
    found = [parameter for part in parts for parameter in part.parameters()]
    for parameter in found:
        parameter.requires_grad_(True)
    return found


def pace(step: int, settings: Distillation) -> float:
    """The part of the learning rate that a step takes."""
    rising = min(1.0, (step + 1) / max(1, settings.warmup))
    return rising * 0.5 * (1 + math.cos(math.pi * step / settings.steps))


def save(
    folder: Path, learner: OpenAutoGLM, optimiser: torch.optim.Optimizer, settings: Distillation, step: int
) -> None:
    """Writes the state after a step, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {
        "settings": asdict(settings),
        "step": step,
        "model": learner.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    part = folder / f".{STATE}.part"
    torch.save(state, part)
    part.replace(folder / STATE)


def load(folder: Path | None, learner: OpenAutoGLM, optimiser: torch.optim.Optimizer, settings: Distillation) -> int:
    """Takes up a saved state, where there is one; the steps it had done."""
    if folder is None or not (folder / STATE).is_file():
        return 0
    state = torch.load(folder / STATE, weights_only=True)
    if state["settings"] != asdict(settings):
        raise TrainingError(f"{folder / STATE} was saved with other settings: use them again, or another folder.")
    try:
        learner.load_state_dict(state["model"])
    except RuntimeError as error:
        raise TrainingError(f"{folder / STATE} is of another model: remove it, or use another folder.") from error
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
