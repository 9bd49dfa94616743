"""The task of aligning: pictures and texts that belong together come close in the shared space.

It knows objectives of pairs; it knows nothing about the loop, checkpoints or files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from open_autoglm.data import PairCollator, PairDataset
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.modeling.similarity import Features, join
from open_autoglm.objectives import GradCache, Pairs, Step
from open_autoglm.runtime.images import Preprocessing

from .building import as_module, build_objective
from .lengths import by_length
from .material import Splits, sample, transforms
from .module import TrainingModule
from .recipe import ModelSettings, Recipe
from .task import Autocast, Material, Stepper
from .validation import validate

INPUTS = ("pixel_values", "input_ids", "attention_mask", "labels")


class PairEncoder(nn.Module):
    """The model as training calls it: a batch's tensors to pairs."""

    def __init__(self, model: OpenAutoGLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Pairs:
        # Channels last is how convolutions read on processors: up to twice as fast, and backwards too.
        images = self.model.image_side(pixel_values.contiguous(memory_format=torch.channels_last))
        return Pairs(images, self.texts(input_ids, attention_mask), labels)

    def texts(self, input_ids: Tensor, attention_mask: Tensor) -> Features:
        """Sentences; short ones do not wait for the long ones' padding."""
        groups = by_length(attention_mask)
        sides = [self.model.text_side(input_ids[rows, :width], attention_mask[rows, :width]) for rows, width in groups]
        back = torch.cat([rows for rows, _ in groups]).argsort()
        return join(sides).map(lambda tensor: tensor[back])


class Aligning:
    """Pairs, judged by the recipe's objectives; a chunk at a time where gradients are cached."""

    def configured(self, settings: ModelSettings, splits: Splits) -> ModelSettings:
        return settings

    def encoder(self, model: OpenAutoGLM) -> nn.Module:
        return PairEncoder(model)

    def objective(self, recipe: Recipe, width: int) -> nn.Module:
        return as_module(build_objective(recipe.objectives, width))

    def probe(self, encoder: nn.Module, used: Preprocessing) -> Tensor:
        tokens = torch.zeros(1, 2, dtype=torch.long)
        model: Any = encoder.model
        pixels = torch.zeros(1, 3, used.height, used.width)
        scores: Tensor = model.align(pixels, tokens, torch.ones_like(tokens)).logits_per_image
        return scores.sum()

    def material(
        self,
        recipe: Recipe,
        splits: Splits,
        config: OpenAutoGLMConfig,
        training: OpenAutoGLMProcessor,
        used: OpenAutoGLMProcessor,
    ) -> Material:
        seed, (varied, exact) = recipe.optimisation.seed, transforms(recipe, training, used)
        kept = splits.validation and sample(splits.validation, recipe.evaluation.pictures, seed)
        # Both processors normalise alike; only sizes differ, and pictures come in theirs.
        return Material(
            splits,
            PairDataset(splits.train, varied, seed),
            PairDataset(kept, exact, seed) if kept else None,
            PairCollator(training, config.max_text_tokens, config.pad_text),
        )

    def stepper(self, model: nn.Module, module: TrainingModule, recipe: Recipe, autocast: Autocast) -> Stepper:
        def encode(one: nn.Module, batch: Mapping[str, Any]) -> Pairs:
            with autocast():
                pairs: Pairs = one(**{name: batch[name] for name in INPUTS})
                return pairs

        aligned: Any = module.objective
        parts = (model, encode, aligned, module.model.similarity, module.model.logit_scale, module.momentum)
        chunk = recipe.optimisation.chunk
        return GradCache(*parts, chunk=chunk) if chunk else Step(*parts)

    def validate(self, encoder: nn.Module, material: Material, recipe: Recipe) -> dict[str, float]:
        model: Any = encoder.model
        return validate(model, material.validation, material.collator, recipe.evaluation.ks)

    def figures(self, module: TrainingModule) -> dict[str, float]:
        return {"temperature": module.temperature}
