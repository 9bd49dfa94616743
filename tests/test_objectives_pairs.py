"""Batches of pairs and their keys; also the small batches, towers and objectives that the other objective tests use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_parts import one_thread as one_thread

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import SIMILARITIES, Features, Parts, Similarity
from open_autoglm.objectives import (
    Contrastive,
    MomentumEncoder,
    MomentumSchedule,
    Objective,
    Pairs,
    QueueContrastive,
    SigLIP,
    Step,
    Triplet,
    WeightedSum,
    concatenate,
)
from open_autoglm.objectives.pairs import shares_key

WIDTH = 6
LABELS = torch.tensor([0, 1, 2, 1, 3, 4, 0, 5, 1, 6])


def random_pairs(labels: Tensor = LABELS, seed: int = 0, noise: float = 0.5) -> Pairs:
    """Unit vectors in float64, the texts near their pictures."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(len(labels), WIDTH, generator=generator, dtype=torch.float64)
    texts = images + noise * torch.randn(len(labels), WIDTH, generator=generator, dtype=torch.float64)
    return Pairs(Features(F.normalize(images, dim=1)), Features(F.normalize(texts, dim=1)), labels)


class Towers(nn.Module):
    """Two towers with dropout that give whole vectors, regions and words."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, WIDTH))
        self.text = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, WIDTH))
        self.logit_scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, regions: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.image(regions), dim=-1), F.normalize(self.text(words), dim=-1)


def random_batch(labels: Tensor = LABELS, seed: int = 0) -> dict[str, Tensor]:
    """Pictures of 3 regions, sentences of up to 4 words."""
    generator = torch.Generator().manual_seed(seed)
    size = len(labels)
    return {
        "regions": torch.randn(size, 3, 5, generator=generator, dtype=torch.float64),
        "words": torch.randn(size, 4, 4, generator=generator, dtype=torch.float64),
        "mask": torch.arange(4) < torch.randint(1, 5, (size, 1), generator=generator),
        "labels": labels,
    }


def encode(model: nn.Module, batch: Any) -> Pairs:
    """The towers on a batch cut to its longest sentence; the whole is the direction of the mean of the parts."""
    width = int(batch["mask"].sum(dim=1).max())
    mask = batch["mask"][:, :width]
    regions, words = model(batch["regions"], batch["words"][:, :width])
    whole = F.normalize((words * mask[..., None]).sum(dim=1), dim=-1)
    images = Features(F.normalize(regions.mean(dim=1), dim=-1), Parts(regions, mask.new_ones(regions.shape[:2])))
    return Pairs(images, Features(whole, Parts(words, mask)), batch["labels"])


def with_queue(**settings: Any) -> QueueContrastive:
    return QueueContrastive(dimension=WIDTH, size=16, **settings)


def weighted() -> WeightedSum:
    parts = {"siglip": SigLIP(bias=-1.0), "triplet": Triplet(warmup_steps=0), "queue": with_queue()}
    return WeightedSum(parts, {"siglip": 0.5, "triplet": 2.0, "queue": 1.0})


CASES: dict[str, tuple[Callable[[], Any], str, bool]] = {
    "contrastive": (Contrastive, "cosine", False),
    "contrastive-euclidean": (Contrastive, "euclidean", False),
    "contrastive-bilinear": (Contrastive, "bilinear", False),
    "contrastive-region-word": (Contrastive, "region_word", False),
    "queue": (with_queue, "cosine", False),
    "queue-momentum": (with_queue, "cosine", True),
    "queue-momentum-soft": (lambda: with_queue(distillation=0.4), "bilinear", True),
    "siglip": (SigLIP, "cosine", False),
    "triplet-none": (lambda: Triplet(warmup_steps=0, mining="none"), "cosine", False),
    "triplet-semi-hard": (lambda: Triplet(warmup_steps=0, mining="semi_hard"), "cosine", False),
    "triplet-hard": (lambda: Triplet(warmup_steps=0, mining="hard"), "cosine", False),
    "triplet-region-word": (lambda: Triplet(warmup_steps=4, mining="hard"), "region_word", False),
    "weighted-sum": (weighted, "cosine", True),
}
"""Name -> objective, similarity, whether there is a momentum encoder."""


def parts_of(case: str, dropout: float = 0.3) -> dict[str, Any]:
    """Fresh, equal arguments of a Step for a case, in float64."""
    make, similarity, with_momentum = CASES[case]
    torch.manual_seed(0)
    model = Towers(dropout).double().train()
    momentum = MomentumEncoder(model, MomentumSchedule(start=0.9, end=0.9)) if with_momentum else None
    compared: Any = SIMILARITIES[similarity](WIDTH)
    return {
        "model": model,
        "encode": encode,
        "objective": make().double().train(),
        "similarity": compared.double(),
        "logit_scale": model.logit_scale,
        "momentum": momentum,
    }


def gradients(step: Step) -> dict[str, Tensor]:
    """Every gradient of a step's model, objective and similarity by name; zero where there is none."""
    modules: dict[str, Any] = {"model": step.model, "objective": step.objective, "similarity": step.similarity}
    return {
        f"{module}.{name.removeprefix('module.')}": (
            torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
        )
        for module, owner in modules.items()
        for name, weight in owner.named_parameters()
    }


def loss_of(objective: Objective, pairs: Pairs, logit_scale: float = 1.0, similarity: str = "cosine") -> Tensor:
    compared: Similarity = SIMILARITIES[similarity](WIDTH)
    return objective(pairs, compared, torch.tensor(logit_scale, dtype=torch.float64)).loss


def test_pairs_are_positive_where_they_share_any_key_and_always_of_themselves() -> None:
    one = random_pairs(torch.tensor([4, 7, 4, -1])).positive
    assert one.int().tolist() == [[1, 0, 1, 0], [0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]]
    pictures_and_captions = torch.tensor([[0, 10], [0, 11], [1, 11], [2, -1]])
    several = random_pairs(pictures_and_captions).positive
    assert several.int().tolist() == [[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


def test_a_missing_key_matches_nothing() -> None:
    assert not shares_key(torch.tensor([-1, -1]), torch.tensor([-1, 3])).any()


def test_joining_batches_pads_their_words_and_masks_the_padding() -> None:
    torch.manual_seed(0)
    towers, batch = Towers(0).double(), random_batch()
    batch["mask"] = torch.tensor([[True, False, False, False]] * 5 + [[True, True, True, False]] * 5)
    halves = [encode(towers, {key: value[rows] for key, value in batch.items()}) for rows in (slice(5), slice(5, 10))]
    joined = concatenate(halves)
    assert joined.texts.parts is not None and joined.texts.parts.vectors.shape == (10, 3, WIDTH)
    assert torch.equal(joined.texts.parts.mask, batch["mask"][:, :3])
    similarity = SIMILARITIES["region_word"](WIDTH)
    whole = encode(towers, batch)
    assert torch.allclose(similarity(joined.images, joined.texts), similarity(whole.images, whole.texts))


@pytest.mark.parametrize("labels", [torch.arange(3), torch.rand(4)])
def test_labels_of_another_length_or_kind_are_refused(labels: Tensor) -> None:
    side = Features(torch.ones(4, WIDTH))
    with pytest.raises(SettingError, match="whole numbers"):
        Pairs(side, side, labels)
