"""How far a student is from its teacher on one batch: last states, vectors, similarities and answers.

It knows both models; it knows nothing about optimisers or saved states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.vision import resized

from .calibration import Batches, Calibration
from .distillation_settings import Distillation


@dataclass(frozen=True)
class Side:
    """What a tower makes of a batch: ``states`` [rows, hidden] and, of a model that aligns, ``vectors`` [B, d]."""

    states: Tensor
    vectors: Tensor | None


def step_losses(
    student: OpenAutoGLM, teacher: OpenAutoGLM, calibration: Calibration, settings: Distillation, step: int
) -> dict[str, Tensor]:
    """The weighted losses of one step, by name; which batches and crops it takes follows from the step alone."""
    random = torch.Generator().manual_seed(settings.seed * 1_000_003 + step)
    losses: dict[str, Tensor] = {}
    if calibration.pictures:
        pixels = crops(one_of(calibration.pictures, random)[0], settings, random)
        losses["pictures"] = apart(picture_side(student, pixels), picture_side(teacher, pixels), settings)
    if calibration.sentences:
        said = one_of(calibration.sentences, random)
        losses["sentences"] = apart(text_side(student, *said), text_side(teacher, *said), settings)
    if calibration.pictures and calibration.sentences and student.answering is not None and student.answers:
        rows = min(len(pixels), len(said[0]))
        losses["answers"] = settings.answers * answers_apart(
            student, teacher, pixels[:rows], [one[:rows] for one in said]
        )
    return losses


def apart(student: Side, teacher: Side, settings: Distillation) -> Tensor:
    """The weighted sum of a tower's losses."""
    states, wanted = student.states, teacher.states.detach()
    loss = settings.maps * (states - wanted).square().mean() / wanted.var()
    if student.vectors is None or teacher.vectors is None:
        return loss
    vectors, goal = student.vectors, teacher.vectors.detach()
    loss = loss + settings.vectors * (1 - (vectors * goal).sum(dim=-1)).mean()
    got, near = ((side @ goal.T / settings.temperature).log_softmax(dim=-1) for side in (vectors, goal))
    return loss + settings.similarities * F.kl_div(got, near, reduction="batchmean", log_target=True)


def picture_side(model: OpenAutoGLM, pixels: Tensor) -> Side:
    """Of normalised pixels [B, 3, H, W]: every cell's features, and the whole picture's vector."""
    features = model.vision.features(pixels)
    cells = features.flatten(2).transpose(1, 2).flatten(0, 1)
    if not model.config.aligned:
        return Side(cells, None)
    return Side(cells, F.normalize(model.image_head(features.mean(dim=(2, 3))), dim=-1))


def text_side(model: OpenAutoGLM, input_ids: Tensor, attention_mask: Tensor) -> Side:
    """Of token ids and mask [B, T]: every token's features, and the sentence's vector."""
    pooled, states = model.text.with_tokens(input_ids, attention_mask)
    words = states[attention_mask.bool()]
    return Side(words, F.normalize(model.text_head(pooled), dim=-1) if model.config.aligned else None)


def answers_apart(student: OpenAutoGLM, teacher: OpenAutoGLM, pixels: Tensor, said: Sequence[Tensor]) -> Tensor:
    """KL divergence of the decoders' answers about each picture and the sentence beside it."""
    got, wanted = (
        model(model.encode_image(pixels), model.encode_text(*said), text_mask=said[1]).log_softmax(dim=-1)
        for model in (student, teacher)
    )
    return F.kl_div(got, wanted, reduction="batchmean", log_target=True)


def one_of(batches: Batches, random: torch.Generator) -> tuple[Tensor, ...]:
    """A batch by chance."""
    return batches[int(torch.randint(len(batches), (), generator=random))]


def crops(pixels: Tensor, settings: Distillation, random: torch.Generator) -> Tensor:
    """A part of each picture by chance, mirrored by chance, at the size that the tower learns on."""
    found = []
    for picture in pixels:
        height, width = picture.shape[-2:]
        scales = settings.smallest + (1 - settings.smallest) * torch.rand(2, generator=random)
        tall, wide = max(1, int(height * scales[0])), max(1, int(width * scales[1]))
        top, left = (int(torch.randint(room + 1, (), generator=random)) for room in (height - tall, width - wide))
        part = picture[None, :, top : top + tall, left : left + wide]
        mirrored = bool(torch.rand((), generator=random) < 0.5)
        found.append(resized(part.flip(-1) if mirrored else part, settings.size))
    return torch.cat(found).contiguous(memory_format=torch.channels_last)
