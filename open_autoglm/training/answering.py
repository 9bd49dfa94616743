"""The task of answering: questions about pictures, each with one of the answers that the training data has.

It knows the fusion decoder's inputs; it knows nothing about the loop, checkpoints or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.data import PairCollator, QuestionCollator, QuestionDataset
from open_autoglm.errors import DataError, SettingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.modeling.detection import from_checkpoint
from open_autoglm.objectives import Result
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.proposals import make_proposer

from .building import decoder_of
from .material import Splits, sample, transforms
from .module import TrainingModule
from .recipe import ModelSettings, Recipe
from .sentences import SentenceStates
from .task import Autocast, Material, Stepper, blank
from .validation import batches, evaluating

INPUTS = ("pixel_values", "boxes", "region_mask", "input_ids", "attention_mask", "pictures")
MOST_ANSWERS = 2000
EVIDENCE = 5.0  # regions that are asked for are few of many: their loss is small beside that of answers


class QuestionEncoder(nn.Module):
    """The model as training calls it: pictures, and for each of their questions [N] what it says of it.

    Logits [N, answers], and logits [N, k] of the regions that it chose, or None where it chooses none.
    """

    def __init__(self, model: OpenAutoGLM) -> None:
        super().__init__()
        self.model = model
        self.states = SentenceStates(model.text)

    def forward(
        self,
        pixel_values: Tensor,
        boxes: Tensor,
        region_mask: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor,
        pictures: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        pixels = pixel_values.contiguous(memory_format=torch.channels_last)
        regions = self.model.encode_image(pixels, boxes, region_mask)
        # A picture's regions are prepared once for all its questions.
        prepared = self.model.fused.fusion.prepare(regions, region_mask)[pictures]
        tokens = self.model.fused.tokens(self.states(input_ids, attention_mask))
        judged = self.model.fused.judge(prepared, region_mask[pictures], tokens, attention_mask.bool())
        return judged.answers, judged.chosen


@dataclass(frozen=True)
class AnswerStep:
    """Cross-entropy of the right answers, and of the regions that they rest on where the data says so."""

    model: nn.Module
    autocast: Autocast

    def step(self, batch: Mapping[str, Any], loss_scale: float = 1.0) -> Result:
        with self.autocast():
            answers, chosen = self.model(**{name: batch[name] for name in INPUTS})
        logits = answers.float()
        loss = F.cross_entropy(logits, batch["labels"])
        parts = {"accuracy": (logits.detach().argmax(dim=1) == batch["labels"]).float().mean()}
        if chosen is not None:
            there = (batch["region_mask"][batch["pictures"]] & batch["known"].unsqueeze(1)).float()
            missed = F.binary_cross_entropy_with_logits(chosen.float(), batch["evidence"], there, reduction="sum")
            missed = missed / there.sum().clamp(min=1)
            loss = loss + EVIDENCE * missed
            parts["evidence_loss"] = missed.detach()
        (loss * loss_scale).backward()
        return Result(loss.detach(), parts)


class Answering:
    """Several questions a picture a step; the answers are those of the data, the most frequent in training first."""

    def configured(self, settings: ModelSettings, splits: Splits) -> ModelSettings:
        started = decoder_of(settings.start, "fusion")
        if "fusion" not in settings.config and started.get("answers"):
            return settings
        fusion = {**(settings.config.get("fusion") or started), "match": False}
        if not fusion.get("answers"):
            counts = Counter(answer for record in splits.train for answer in record.answers)
            if not counts:
                raise DataError("The training data has no answers: name their column as data.train.answer.")
            if len(counts) > MOST_ANSWERS:
                raise DataError(
                    f"The training data has {len(counts):,} different answers, too many to choose from "
                    f"({MOST_ANSWERS:,}): leave out rare ones."
                )
            # A rare one may lie in validation alone: there it is wrong, which is no reason to train nothing.
            known = {answer for records in splits.named.values() for record in records for answer in record.answers}
            fusion["answers"] = sorted(known, key=lambda answer: (-counts[answer], answer))
        return replace(settings, config={**settings.config, "fusion": fusion})

    def encoder(self, model: OpenAutoGLM) -> nn.Module:
        return QuestionEncoder(model)

    def objective(self, recipe: Recipe, width: int) -> nn.Module:
        return nn.Module()

    def probe(self, encoder: nn.Module, used: Preprocessing) -> Tensor:
        tokens = torch.zeros(1, 2, dtype=torch.long)
        logits, chosen = encoder(*blank(used), tokens, torch.ones_like(tokens), torch.zeros(1, dtype=torch.long))
        total: Tensor = logits.square().sum() + (0 if chosen is None else chosen.square().sum())
        return total

    def material(
        self,
        recipe: Recipe,
        splits: Splits,
        config: OpenAutoGLMConfig,
        training: OpenAutoGLMProcessor,
        used: OpenAutoGLMProcessor,
    ) -> Material:
        seed, (varied, exact) = recipe.optimisation.seed, transforms(recipe, training, used)
        settings = config.fusion_settings
        if settings is None:
            raise SettingError("Answering needs a fusion decoder: set model.config.fusion in the recipe.")
        if any(record.evidence for record in splits.train):
            if recipe.data.augmentation is not None:
                raise SettingError(
                    "Evidence is where things lie in pictures as they are: set data.augmentation to null."
                )
            if used.image_processor.preprocessing.resize == "crop":
                raise SettingError(
                    "Evidence is where things lie in whole pictures, and this model cuts them off: start from one "
                    "whose preprocessing squashes."
                )
        propose = make_proposer(settings.proposals, from_checkpoint)
        kept = splits.validation and sample(splits.validation, recipe.evaluation.pictures, seed)
        count, answers = recipe.data.questions, settings.answers
        return Material(
            splits,
            QuestionDataset(splits.train, varied, propose, answers, count, seed),
            QuestionDataset(kept, exact, propose, answers, count, seed) if kept else None,
            QuestionCollator(PairCollator(training, config.max_text_tokens, config.pad_text)),
        )

    def stepper(self, model: nn.Module, module: TrainingModule, recipe: Recipe, autocast: Autocast) -> Stepper:
        return AnswerStep(model, autocast)

    def validate(self, encoder: nn.Module, material: Material, recipe: Recipe) -> dict[str, float]:
        dataset, device = material.validation, next(encoder.parameters()).device
        right = asked = 0
        with evaluating(encoder), torch.no_grad():
            for batch in batches(dataset, material.collator, device):
                found = encoder(**{name: batch[name] for name in INPUTS})[0].argmax(dim=1)
                right, asked = right + int((found == batch["labels"]).sum()), asked + len(found)
        return {"accuracy": right / max(1, asked)}

    def figures(self, module: TrainingModule) -> dict[str, float]:
        return {}
