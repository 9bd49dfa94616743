"""Contrastive, SigLIP, weighted sum and the temperature: against references, several positives, extremes."""

from __future__ import annotations

import math

import pytest
import torch
from test_objectives_pairs import LABELS, encode, loss_of, parts_of, random_batch, random_pairs
from torch.nn import functional as F
from torch_parts import one_thread as one_thread

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Cosine, Features
from open_autoglm.objectives import (
    OBJECTIVES,
    Contrastive,
    Pairs,
    QueueContrastive,
    SigLIP,
    Step,
    Triplet,
    WeightedSum,
    clamp_temperature_,
    inverse_temperature,
)
from open_autoglm.objectives.objective import batch_figures

UNIQUE = torch.arange(8)


def written_out_info_nce(scores: list[list[float]], positive: list[list[bool]]) -> float:
    """The formula of ``info_nce``, a term at a time."""
    rows = []
    for row, belongs in zip(scores, positive, strict=True):
        negatives = sum(math.exp(score) for score, own in zip(row, belongs, strict=True) if not own)
        terms = [
            -math.log(math.exp(score) / (math.exp(score) + negatives))
            for score, own in zip(row, belongs, strict=True)
            if own
        ]
        rows.append(sum(terms) / len(terms))
    return sum(rows) / len(rows)


def test_contrastive_is_the_written_out_formula() -> None:
    pairs = random_pairs()
    scores = (math.exp(1.0) * pairs.images.whole @ pairs.texts.whole.T).tolist()
    turned = [list(column) for column in zip(*scores, strict=True)]
    same = [[a == b for b in LABELS.tolist()] for a in LABELS.tolist()]
    expected = (written_out_info_nce(scores, same) + written_out_info_nce(turned, same)) / 2
    assert loss_of(Contrastive(), pairs).item() == pytest.approx(expected, abs=1e-9)


def test_smoothing_spreads_a_share_of_the_target_over_all_candidates() -> None:
    pairs = random_pairs(UNIQUE)
    logits = math.exp(1.0) * pairs.images.whole @ pairs.texts.whole.T
    smoothed = [F.cross_entropy(one, UNIQUE, label_smoothing=0.2) for one in (logits, logits.T)]
    found = loss_of(Contrastive(label_smoothing=0.2), pairs).item()
    assert found == pytest.approx(sum(smoothed).item() / 2, abs=1e-9)
    with pytest.raises(SettingError, match="label_smoothing is 1"):
        Contrastive(label_smoothing=1)


def test_contrastive_without_shared_keys_is_clip_s_loss() -> None:
    pairs = random_pairs(UNIQUE)
    logits = math.exp(1.0) * pairs.images.whole @ pairs.texts.whole.T
    clip = (F.cross_entropy(logits, UNIQUE) + F.cross_entropy(logits.T, UNIQUE)) / 2
    assert loss_of(Contrastive(), pairs).item() == pytest.approx(clip.item(), abs=1e-9)


def test_siglip_is_the_written_out_formula() -> None:
    pairs, bias = random_pairs(), -2.0
    scores = (math.exp(1.0) * pairs.images.whole @ pairs.texts.whole.T + bias).tolist()
    expected = 0.0
    for i, row in enumerate(scores):
        for j, score in enumerate(row):
            sign = 1 if LABELS[i] == LABELS[j] else -1
            expected += math.log(1 + math.exp(-sign * score))
    assert loss_of(SigLIP(bias).double(), pairs).item() == pytest.approx(expected / len(LABELS), abs=1e-9)


def test_a_weighted_sum_adds_up_and_reports_its_parts() -> None:
    pairs = random_pairs()
    both = WeightedSum({"clip": Contrastive(), "sigmoid": SigLIP(-1.0).double()}, {"clip": 2.0, "sigmoid": 0.25})
    result = both(pairs, Cosine(), torch.tensor(1.0))
    alone = [loss_of(Contrastive(), pairs).item(), loss_of(SigLIP(-1.0).double(), pairs).item()]
    assert result.loss.item() == pytest.approx(2 * alone[0] + 0.25 * alone[1])
    assert result.figures["clip/loss"].item() == pytest.approx(alone[0])
    assert {"clip/temperature", "sigmoid/bias"} <= set(result.figures)


@pytest.mark.parametrize("weights", [{}, {"clip": 1.0, "other": 1.0}, {"clip": -1.0}])
def test_a_weighted_sum_wants_a_weight_for_each_part(weights: dict[str, float]) -> None:
    with pytest.raises(SettingError, match="weight"):
        WeightedSum({"clip": Contrastive()}, weights)


@pytest.mark.parametrize(
    "objective",
    [
        Contrastive(),
        SigLIP(-1.0).double(),
        QueueContrastive(dimension=6, size=8),
        *(Triplet(warmup_steps=0, mining=mining) for mining in ("none", "semi_hard", "hard")),
    ],
    ids=lambda objective: type(objective).__name__,
)
@pytest.mark.parametrize("seed", range(3))
def test_no_objective_pushes_a_duplicate_caption_or_any_positive_away(objective: torch.nn.Module, seed: int) -> None:
    pairs = random_pairs(seed=seed, noise=1.0)
    duplicate = pairs.texts.whole.clone()
    duplicate[3] = duplicate[1]  # pairs 1, 3 and 8 share a key, and 1 and 3 the caption's very vector
    scores = (pairs.images.whole @ duplicate.T).requires_grad_()
    towards = torch.eye(len(LABELS), dtype=torch.float64)

    class Given(Cosine):
        """These scores, whatever the vectors; a queue is empty here."""

        def forward(self, images: Features, texts: Features) -> torch.Tensor:
            return scores

    objective.train()
    batch = Pairs(Features(towards), Features(towards), LABELS)
    if isinstance(objective, QueueContrastive):
        objective = QueueContrastive(dimension=len(LABELS), size=8)
    objective(batch, Given(), torch.tensor(1.0, dtype=torch.float64)).loss.backward()
    assert scores.grad is not None
    assert (scores.grad[batch.positive] <= 0).all(), "descent would lower a positive's score"
    assert (scores.grad[~batch.positive] >= 0).all()


def test_with_the_usual_denominator_a_positive_would_be_pushed_away() -> None:
    """Why the other positives are left out of it: SupCon's formula, on one row."""
    scores = torch.tensor([3.0, 0.0, 0.0], requires_grad=True)
    positive = torch.tensor([True, True, False])
    (-scores.log_softmax(0)[positive].mean()).backward()
    assert scores.grad is not None and scores.grad[0] > 0


def test_the_scale_stays_at_100_and_can_come_back() -> None:
    logit_scale = torch.tensor(9.0, requires_grad=True)
    scale = inverse_temperature(logit_scale)
    assert scale.item() == pytest.approx(100)
    scale.backward()
    assert logit_scale.grad is not None and logit_scale.grad.item() == pytest.approx(100)
    clamp_temperature_(logit_scale)
    assert logit_scale.exp().item() == pytest.approx(100)
    below = torch.tensor(2.0)
    assert inverse_temperature(below).item() == pytest.approx(math.exp(2.0))


@pytest.mark.parametrize(
    "case", ["contrastive", "contrastive-region-word", "queue", "siglip", "triplet-semi-hard", "weighted-sum"]
)
def test_a_batch_can_be_overfitted(case: str) -> None:
    """An objective leads a model to find its own pairs."""
    parts = parts_of(case, dropout=0.0) | {"momentum": None}
    step = Step(**parts)
    weights = [*step.model.parameters(), *step.objective.parameters(), *step.similarity.parameters()]
    optimizer = torch.optim.Adam(weights, lr=0.03)
    for _ in range(60):
        optimizer.zero_grad()
        step.step(random_batch())
        optimizer.step()
    pairs = encode(step.model, random_batch())
    scores = parts["similarity"](pairs.images, pairs.texts)
    assert batch_figures(scores, pairs.positive)["image_to_text_r1"] >= 0.9


EXTREMES = {
    "all the same": torch.ones(4, 6),
    "opposite": torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None].expand(4, 6),
    "zero": torch.zeros(4, 6),
    "huge": torch.full((4, 6), 1e15),
    "one pair": torch.ones(1, 6),
}


@pytest.mark.parametrize("labels", ["unique", "all alike"])
@pytest.mark.parametrize("extreme", EXTREMES)
@pytest.mark.parametrize("name", sorted(OBJECTIVES))
def test_no_nan_at_extreme_inputs(name: str, extreme: str, labels: str) -> None:
    vectors = EXTREMES[extreme]
    images, texts = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    keys = torch.arange(len(vectors)) if labels == "unique" else torch.zeros(len(vectors), dtype=torch.long)
    settings = {
        "queue_contrastive": {"dimension": 6, "size": 8, "distillation": 0.5},
        "triplet": {"warmup_steps": 0},
        "weighted_sum": {"parts": {"hinge": Triplet(mining="semi_hard", warmup_steps=0)}, "weights": {"hinge": 1.0}},
    }
    objective = OBJECTIVES[name](**settings.get(name, {}))
    logit_scale = torch.tensor(50.0, requires_grad=True)
    pairs = Pairs(Features(images), Features(texts), keys)
    for _ in range(2):
        targets = Pairs(Features(images.detach()), Features(texts.detach()), keys)
        result = objective(Pairs(pairs.images, pairs.texts, keys, targets), Cosine(), logit_scale)
        result.loss.backward()
    assert result.loss.isfinite()
    assert all(tensor.grad.isfinite().all() for tensor in (images, texts, logit_scale) if tensor.grad is not None)
    assert all(figure.isfinite() for figure in result.figures.values())


def test_scores_keep_float32_precision_under_autocast() -> None:
    pairs = random_pairs(UNIQUE).map(lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
    plain = Contrastive()(pairs, Cosine(), torch.tensor(4.6)).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = Contrastive()(pairs, Cosine(), torch.tensor(4.6)).loss
    assert mixed.item() == pytest.approx(plain.item(), rel=1e-6)
