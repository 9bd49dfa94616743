"""The task of matching: whether a text belongs to a picture, told by the fusion decoder from close wrong pairs.

It knows the fusion decoder's inputs; it knows nothing about the loop, checkpoints or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.data import PairCollator, PairDataset, Records, RegionPairCollator, RegionPairDataset
from open_autoglm.errors import SettingError
from open_autoglm.evaluation.reranking import Candidates
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.objectives import Result, hard_negatives, shares_key
from open_autoglm.runtime.images import Preprocessing
from open_autoglm.runtime.matching import contrast
from open_autoglm.runtime.proposals import make_proposer

from .building import decoder_of
from .material import Splits, captions_of, sample, transforms
from .module import TrainingModule
from .recipe import ModelSettings, Recipe
from .sentences import SentenceStates
from .task import Autocast, Material, Stepper, blank
from .validation import batches, evaluating

INPUTS = ("pixel_values", "boxes", "region_mask", "input_ids", "attention_mask", "labels")
RERANKED = 50  # pictures of a query that are judged, in validation as usually in use
QUERIES = 200  # that are validated with, at most


class MatchEncoder(nn.Module):
    """The model as training calls it: a batch's pairs, and as many hard wrong ones, to logits and whether they match.

    Every picture gets a wrong text and every text a wrong picture of the batch, drawn by how close the alignment has
    them (ALBEF, 2107.07651). Pairs that share a label are no wrong ones.
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
        labels: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Logits and targets [n], the batch's own pairs first."""
        pictures, prepared = self.look(pixel_values, boxes, region_mask)
        sentences, tokens = self.read(input_ids, attention_mask)
        with torch.no_grad():
            closeness = self.model.logit_scale.exp() * pictures @ sentences.T
            positive = shares_key(labels, labels).fill_diagonal_(True)
            with_text, wrong_text = hard_negatives(closeness, positive)
            with_picture, wrong_picture = hard_negatives(closeness.T, positive)
        own = torch.arange(len(labels), device=labels.device)
        picture, text = torch.cat([own, with_text, wrong_picture]), torch.cat([own, wrong_text, with_picture])
        logits = self.judge(prepared[picture], region_mask[picture], tokens[text], attention_mask[text])
        return logits, (torch.arange(len(picture), device=labels.device) < len(own)).float()

    def look(self, pixel_values: Tensor, boxes: Tensor, region_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures in the shared space [B, d], as one look shows them, and their prepared regions [B, k, width]."""
        model = self.model
        features = model.vision.features(pixel_values.contiguous(memory_format=torch.channels_last))
        with torch.no_grad():
            whole = F.normalize(model.image_head(features.mean(dim=(2, 3))), dim=-1)
        regions = model.fused.regions(features, boxes, region_mask)
        return whole, model.fused.fusion.prepare(regions, region_mask)

    def read(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Sentences in the shared space [N, d], and their token features [N, T, 768]."""
        sentences, states = self.states.pooled(input_ids, attention_mask)
        with torch.no_grad():
            vectors = F.normalize(self.model.text_head(sentences), dim=-1)
        return vectors, self.model.fused.tokens(states)

    def judge(self, prepared: Tensor, region_mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """Logits [n] that sentences match pictures."""
        return self.model.fused.judge(prepared, region_mask, tokens, token_mask.bool()).match


@dataclass(frozen=True)
class MatchStep:
    """Binary cross-entropy over right and wrong pairs."""

    model: nn.Module
    autocast: Autocast

    def step(self, batch: Mapping[str, Any], loss_scale: float = 1.0) -> Result:
        with self.autocast():
            logits, targets = self.model(**{name: batch[name] for name in INPUTS})
        loss = F.binary_cross_entropy_with_logits(logits.float(), targets)
        (loss * loss_scale).backward()
        right = ((logits.detach() > 0) == (targets > 0)).float().mean()
        return Result(loss.detach(), {"accuracy": right})


class Matching:
    """Pairs as for aligning; the decoder starts from the bundle's where it has one, without its answers."""

    def configured(self, settings: ModelSettings, splits: Splits) -> ModelSettings:
        fusion = {
            **(settings.config.get("fusion") or decoder_of(settings.start, "fusion")),
            "answers": (),
            "match": True,
        }
        return replace(settings, config={**settings.config, "fusion": fusion})

    def encoder(self, model: OpenAutoGLM) -> nn.Module:
        return MatchEncoder(model)

    def objective(self, recipe: Recipe, width: int) -> nn.Module:
        return nn.Module()

    def probe(self, encoder: nn.Module, used: Preprocessing) -> Tensor:
        tokens, matching = torch.zeros(1, 2, dtype=torch.long), as_encoder(encoder)
        pixels, boxes, there = blank(used)
        _, prepared = matching.look(pixels, boxes, there)
        _, read = matching.read(tokens, torch.ones_like(tokens))
        return matching.judge(prepared, there, read, torch.ones_like(tokens)).square().sum()

    def material(
        self,
        recipe: Recipe,
        splits: Splits,
        config: OpenAutoGLMConfig,
        training: OpenAutoGLMProcessor,
        used: OpenAutoGLMProcessor,
    ) -> Material:
        settings = config.fusion_settings
        if settings is None or not config.aligned:
            raise SettingError(
                "Matching takes its wrong pairs from the alignment, which this model does not have: start from one "
                "that was trained to align."
            )
        seed, (varied, exact) = recipe.optimisation.seed, transforms(recipe, training, used)
        propose = make_proposer(settings.proposals)
        kept = splits.validation and sample(splits.validation, recipe.evaluation.pictures, seed)
        return Material(
            splits,
            RegionPairDataset(PairDataset(splits.train, varied, seed), propose),
            RegionPairDataset(PairDataset(kept, exact, seed), propose) if kept else None,
            RegionPairCollator(PairCollator(training, config.max_text_tokens, config.pad_text)),
        )

    def stepper(self, model: nn.Module, module: TrainingModule, recipe: Recipe, autocast: Autocast) -> Stepper:
        return MatchStep(model, autocast)

    def validate(self, encoder: nn.Module, material: Material, recipe: Recipe) -> dict[str, float]:
        with evaluating(encoder), torch.no_grad():
            names = [recipe.output.template.format(name) for name in material.splits.train.names]
            return validate(as_encoder(encoder), material.validation, material.collator, names)

    def figures(self, module: TrainingModule) -> dict[str, float]:
        return {}


def validate(
    encoder: MatchEncoder, dataset: RegionPairDataset, collator: RegionPairCollator, names: Sequence[str]
) -> dict[str, float]:
    """``accuracy`` on right pairs and as many close wrong ones; mAP of the first stage, and with the second beside it.

    ``names``: sentences of all that the bundle will have names for. What speaks for a match is weighed as fits these
    candidates best.
    """
    captions, positive = queries_of(dataset.records)
    device = next(encoder.parameters()).device

    def read(text: str) -> tuple[Tensor, Tensor, Tensor]:
        words = {name: one.to(device) for name, one in collator.pairs.texts([text]).items()}
        return *encoder.read(words["input_ids"], words["attention_mask"]), words["attention_mask"]

    looked = list[tuple[Tensor, Tensor, Tensor]]()
    for batch in batches(dataset, collator, device):
        pictures, prepared = encoder.look(batch["pixel_values"], batch["boxes"], batch["region_mask"])
        looked += zip(pictures, prepared, batch["region_mask"], strict=True)
    wholes, logits = torch.stack([whole for whole, _, _ in looked]), list[NDArray[np.float32]]()
    sentences = [read(caption) for caption in captions]
    candidates = Candidates.best(similarities(sentences, wholes), positive, RERANKED)
    for (_, tokens, mask), chosen in zip(sentences, candidates.pictures, strict=True):
        prepared, there = padded_regions([looked[picture][1:] for picture in chosen])
        judged = encoder.judge(prepared, there, *(one.expand(len(chosen), *one.shape[1:]) for one in (tokens, mask)))
        logits.append(judged.float().cpu().numpy())
    known = (
        contrast(similarities([read(name) for name in names], wholes)) if names else np.zeros(len(wholes), np.float32)
    )
    return figures(candidates, np.stack(logits), known, wholes.float().cpu().numpy())


def similarities(sentences: Sequence[tuple[Tensor, Tensor, Tensor]], wholes: Tensor) -> NDArray[np.float32]:
    """Of sentences as read and pictures [n, d]: [sentences, n]."""
    return (torch.cat([sentence for sentence, _, _ in sentences]) @ wholes.T).float().cpu().numpy()


def queries_of(records: Records) -> tuple[list[str], NDArray[np.bool_]]:
    """Some of the captions, the same ones each time, and which pictures each belongs to [captions, records]."""
    captions, positive = captions_of(records)
    chosen = np.sort(np.random.default_rng(0).permutation(len(captions))[:QUERIES])
    return [captions[one] for one in chosen], positive[:, chosen].T


def figures(
    candidates: Candidates,
    logits: NDArray[np.float32],
    contrasts: NDArray[np.float32],
    wholes: NDArray[np.float32],
) -> dict[str, float]:
    """What is measured of match logits [q, k] of the candidates, and all pictures' contrasts [n] and vectors [n, d]."""
    pairs = candidates.pairs()
    return {
        "accuracy": float(((logits > 0) == candidates.matches)[pairs].mean()),
        "first_stage_map": candidates.mean_average_precision(candidates.scores),
        "reranked_map": candidates.mean_average_precision(candidates.fit(logits, contrasts, wholes).odds),
    }


def padded_regions(pictures: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Prepared regions [k, width] and masks [k] of several pictures as one batch."""
    prepared, masks = (nn.utils.rnn.pad_sequence(list(one), batch_first=True) for one in zip(*pictures, strict=True))
    return prepared, masks


def as_encoder(encoder: nn.Module) -> MatchEncoder:
    """The encoder as what it is here."""
    assert isinstance(encoder, MatchEncoder)  # noqa: S101  (it was made by this task)
    return encoder
