"""The task of describing: what is written about pictures, token by token, after a question where there is one.

It knows the writing decoder's inputs; it knows nothing about the loop, checkpoints or files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.data import DescriptionCollator, DescriptionDataset, PairCollator
from open_autoglm.data.descriptions import IGNORED, texts_of, token_ids
from open_autoglm.errors import DataError, SettingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.objectives import Result
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.lexicon import Lexicon
from open_autoglm.runtime.proposals import make_proposer

from .building import build_tokenizer, decoder_of
from .material import Splits, sample, transforms
from .module import TrainingModule
from .recipe import ModelSettings, Recipe
from .task import Autocast, Material, Stepper, blank
from .validation import batches, evaluating

INPUTS = ("pixel_values", "boxes", "region_mask", "tokens", "pictures")
MOST_WORDS = 20_000  # different tokens; beyond, rare ones are left out


class TextTeacher(nn.Module):
    """The model as training calls it: pictures, and for each of their texts [N, T] logits [N, T, vocabulary]."""

    def __init__(self, model: OpenAutoGLM) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixel_values: Tensor, boxes: Tensor, region_mask: Tensor, tokens: Tensor, pictures: Tensor
    ) -> Tensor:
        writer = self.model.writer
        features = self.model.vision.features(pixel_values.contiguous(memory_format=torch.channels_last))
        # What a picture's texts look at is computed once for all of them.
        context = writer.decoder.prepare(writer.regions(features, boxes, region_mask))
        return writer.teach(context[pictures], region_mask[pictures], tokens)


@dataclass(frozen=True)
class TextStep:
    """Cross-entropy of each next token, given those before it (teacher forcing); prompts and padding do not count."""

    model: nn.Module
    autocast: Autocast

    def step(self, batch: Mapping[str, Any], loss_scale: float = 1.0) -> Result:
        with self.autocast():
            logits = self.model(**{name: batch[name] for name in INPUTS}).float()
        labels = batch["labels"]
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
        (loss * loss_scale).backward()
        right = logits.detach().argmax(dim=-1)[labels != IGNORED] == labels[labels != IGNORED]
        return Result(loss.detach(), {"token_accuracy": right.float().mean()})


def tokens_of(splits: Splits, tokenizer: Any) -> list[int]:
    """The tokens of all that is written in training, and of its prompts, the most frequent first."""
    texts = Counter(
        part for record in splits.train for text in texts_of(record) for part in (text.prompt, text.written)
    )
    counts = Counter[int]()
    for text, times in texts.items():
        for token in token_ids(tokenizer, text):
            counts[token] += times
    del counts[tokenizer.unk_token_id]
    if not counts:
        raise DataError("The training data has no text of which the tokenizer knows a word: look at its captions.")
    return [token for token, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:MOST_WORDS]]


class Describing:
    """Several texts a picture a step; the decoder's tokens are those of the training texts."""

    def configured(self, settings: ModelSettings, splits: Splits) -> ModelSettings:
        given = settings.config.get("generation")
        if given is None and decoder_of(settings.start, "generation"):
            return settings
        generation = dict(given or {})
        if not generation.get("tokens"):
            generation["tokens"] = tokens_of(splits, build_tokenizer(settings))
        return replace(settings, config={**settings.config, "generation": generation})

    def encoder(self, model: OpenAutoGLM) -> nn.Module:
        return TextTeacher(model)

    def objective(self, recipe: Recipe, width: int) -> nn.Module:
        return nn.Module()

    def probe(self, encoder: nn.Module, used: Preprocessing) -> Tensor:
        logits: Tensor = encoder(*blank(used), torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, dtype=torch.long))
        return logits.square().sum()

    def material(
        self,
        recipe: Recipe,
        splits: Splits,
        config: OpenAutoGLMConfig,
        training: OpenAutoGLMProcessor,
        used: OpenAutoGLMProcessor,
    ) -> Material:
        seed, (varied, exact) = recipe.optimisation.seed, transforms(recipe, training, used)
        settings = config.generator_settings
        if settings is None:
            raise SettingError("Describing needs a decoder: set model.config.generation in the recipe.")
        propose = make_proposer(settings.proposals)
        kept = splits.validation and sample(splits.validation, recipe.evaluation.pictures, seed)
        count, pairs = recipe.data.questions, PairCollator(training, config.max_text_tokens, config.pad_text)
        return Material(
            splits,
            DescriptionDataset(splits.train, varied, propose, count, seed),
            DescriptionDataset(kept, exact, propose, count, seed) if kept else None,
            DescriptionCollator(
                pairs, training.tokenizer, Lexicon(settings.known(config.text_config.vocab_size)), settings.most_tokens
            ),
        )

    def stepper(self, model: nn.Module, module: TrainingModule, recipe: Recipe, autocast: Autocast) -> Stepper:
        return TextStep(model, autocast)

    def validate(self, encoder: nn.Module, material: Material, recipe: Recipe) -> dict[str, float]:
        dataset, device = material.validation, next(encoder.parameters()).device
        right = due = 0
        loss = 0.0
        with evaluating(encoder), torch.no_grad():
            for batch in batches(dataset, material.collator, device):
                logits, labels = encoder(**{name: batch[name] for name in INPUTS}).float(), batch["labels"]
                there = labels != IGNORED
                right += int((logits.argmax(dim=-1)[there] == labels[there]).sum())
                due += int(there.sum())
                loss += float(F.cross_entropy(logits[there], labels[there], reduction="sum"))
        return {"token_accuracy": right / max(1, due), "loss": loss / max(1, due)}

    def figures(self, module: TrainingModule) -> dict[str, float]:
        return {}
