"""Triplet loss: mining against written-out references, margin warm-up, the collapse monitor in action."""

from __future__ import annotations

import pytest
import torch
from test_objectives_pairs import LABELS, encode, loss_of, parts_of, random_batch, random_pairs
from torch import Tensor, nn
from torch.nn import functional as F
from torch_parts import one_thread as one_thread

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Cosine, Features
from open_autoglm.objectives import Pairs, Triplet
from open_autoglm.objectives import mining as mining_module
from open_autoglm.objectives.collapse import CollapseMonitor

MARGIN = 0.5


def written_out(scores: Tensor, labels: list[int], mining: str) -> float:
    """One direction of the loss: loops over anchors, positives and negatives."""
    anchors = []
    for anchor, row in enumerate(scores.tolist()):
        negatives = [row[j] for j in range(len(row)) if labels[j] != labels[anchor]]
        costs = []
        for own in (row[j] for j in range(len(row)) if labels[j] == labels[anchor]):
            if mining == "none":
                chosen = negatives
            elif mining == "hard":
                chosen = [max(negatives)]
            else:
                farther = [negative for negative in negatives if negative < own]
                chosen = [max(farther) if farther else min(negatives)]
            costs.append(sum(max(0.0, MARGIN - own + negative) for negative in chosen) / len(chosen))
        anchors.append(sum(costs) / len(costs))
    return sum(anchors) / len(anchors)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("mining", ["none", "semi_hard", "hard"])
def test_mining_is_the_written_out_search(mining: str, seed: int) -> None:
    pairs = random_pairs(seed=seed, noise=1.5)
    scores = pairs.images.whole @ pairs.texts.whole.T
    expected = (written_out(scores, LABELS.tolist(), mining) + written_out(scores.T, LABELS.tolist(), mining)) / 2
    loss = loss_of(Triplet(margin=MARGIN, warmup_steps=0, mining=mining), pairs)
    assert loss.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("mining", ["none", "semi_hard", "hard"])
def test_gradients_are_those_of_the_mined_triplets(mining: str) -> None:
    pairs = random_pairs(noise=1.5)
    scores = (pairs.images.whole @ pairs.texts.whole.T).requires_grad_()

    class Given(Cosine):
        def forward(self, images: Features, texts: Features) -> Tensor:
            return scores

    def loss() -> Tensor:
        return Triplet(margin=MARGIN, warmup_steps=0, mining=mining)(pairs, Given(), torch.tensor(0.0)).loss

    loss().backward()
    assert scores.grad is not None
    step = 1e-6
    for cell in [(0, 0), (0, 6), (1, 2), (3, 8), (9, 4)]:
        with torch.no_grad():
            scores[cell] += step
            above = loss().item()
            scores[cell] -= 2 * step
            below = loss().item()
            scores[cell] += step
        assert scores.grad[cell].item() == pytest.approx((above - below) / (2 * step), abs=1e-6)


def test_the_margin_rises_from_zero_and_only_in_training() -> None:
    objective, pairs, similarity, scale = Triplet(warmup_steps=4), random_pairs(), Cosine(), torch.tensor(0.0)
    margins = [objective(pairs, similarity, scale).figures["margin"].item() for _ in range(6)]
    assert margins == pytest.approx([0.0, 0.125, 0.25, 0.375, 0.5, 0.5])
    again = Triplet(warmup_steps=4)
    again.load_state_dict(objective.state_dict())
    assert again.eval()(pairs, similarity, scale).figures["margin"].item() == pytest.approx(0.5)
    assert int(again.step) == 6


def test_the_monitor_reports_a_collapse_and_its_end() -> None:
    monitor, spread_out = CollapseMonitor(), torch.eye(8)
    together = torch.ones(8, 8) + 0.01 * spread_out
    monitor.watch(spread_out, spread_out)
    assert not monitor.collapsed and monitor.spread.item() == pytest.approx(1 - 1 / 8)
    for _ in range(20):
        monitor.watch(spread_out, together)
    assert monitor.collapsed, "one side alone is enough"
    again = CollapseMonitor()
    again.load_state_dict(monitor.state_dict())
    assert again.collapsed
    for _ in range(3):
        again.watch(spread_out, spread_out)
    assert not again.collapsed


def test_between_its_two_bounds_the_monitor_keeps_its_mind() -> None:
    middle = F.normalize(torch.eye(8) + 1.1, dim=1)
    for collapsed in (False, True):
        monitor = CollapseMonitor(low=0.05, high=0.1, decay=0.0)
        monitor.collapsed.fill_(collapsed)
        monitor.watch(middle, middle)
        assert 0.05 < monitor.spread < 0.1
        assert bool(monitor.collapsed) is collapsed


def test_hard_mining_steps_back_to_semi_hard_and_returns() -> None:
    spread_out = random_pairs(noise=1.5)
    sides = [F.normalize(side.whole + 20.0, dim=1) for side in (spread_out.images, spread_out.texts)]
    near = Pairs(Features(sides[0]), Features(sides[1]), LABELS)
    objective, semi = Triplet(warmup_steps=0), Triplet(warmup_steps=0, mining="semi_hard")
    hard = Triplet(warmup_steps=0, collapse_low=0.0, collapse_high=0.0)

    def losses(pairs: Pairs) -> tuple[float, float, float]:
        results = [each(pairs, Cosine(), torch.tensor(0.0)) for each in (objective, semi, hard)]
        return tuple(result.loss.item() for result in results)  # type: ignore[return-value]

    stepped, _, as_hard = losses(spread_out)
    assert stepped == as_hard
    for _ in range(20):
        stepped, as_semi, as_hard = losses(near)
    assert stepped == as_semi < as_hard
    for _ in range(20):
        stepped, as_semi, as_hard = losses(spread_out)
    assert stepped == as_hard > as_semi


def deep_tower() -> nn.Module:
    layers = [layer for _ in range(3) for layer in (nn.Linear(64, 64), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(64, 32))


def trained_with_hard_mining(objective: Triplet) -> dict[str, float]:
    """Noisy views of hidden factors, deep towers, large batches: what hard mining collapses on. Held-out figures."""
    torch.manual_seed(0)
    hidden = torch.randn(1024, 16)
    views = [hidden @ torch.randn(16, 64) + 3 * torch.randn(1024, 64) for _ in range(2)]
    towers = [deep_tower(), deep_tower()]
    optimizer = torch.optim.Adam([weight for tower in towers for weight in tower.parameters()], lr=3e-3)

    def encode_rows(rows: Tensor) -> Pairs:
        vectors = [F.normalize(tower(view[rows]), dim=1) for tower, view in zip(towers, views, strict=True)]
        return Pairs(Features(vectors[0]), Features(vectors[1]), rows)

    for _ in range(250):
        loss = objective(encode_rows(torch.randint(0, 896, (384,))), Cosine(), torch.tensor(0.0)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    figures = objective.eval()(encode_rows(torch.arange(896, 1024)), Cosine(), torch.tensor(0.0)).figures
    return {name: figure.item() for name, figure in figures.items()}


def test_the_monitor_rescues_a_training_that_hard_mining_collapses() -> None:
    without = trained_with_hard_mining(Triplet(warmup_steps=0, collapse_low=0.0, collapse_high=0.0))
    assert without["spread"] < 0.05, "hard mining alone brings all vectors to one point"
    watched = trained_with_hard_mining(Triplet(warmup_steps=0))
    assert watched["spread"] > 0.9 and not watched["collapsed"]
    assert watched["image_to_text_r1"] > without["image_to_text_r1"] + 0.1


def test_searching_semi_hard_negatives_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, objective = random_pairs(noise=1.5), Triplet(warmup_steps=0, mining="semi_hard")
    at_once = loss_of(objective, pairs)
    monkeypatch.setattr(mining_module, "BLOCK_CELLS", 3 * len(LABELS))
    assert torch.equal(loss_of(objective, pairs), at_once)


@pytest.mark.parametrize("settings", [{"mining": "hardest"}, {"margin": 0.0}, {"warmup_steps": -1}])
def test_settings_out_of_range_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        Triplet(**settings)  # type: ignore[arg-type]


def test_region_word_scores_mine_as_well() -> None:
    parts = parts_of("triplet-region-word", dropout=0.0)
    pairs = encode(parts["model"], random_batch())
    scores = parts["similarity"](pairs.images, pairs.texts).detach()
    expected = (written_out(scores, LABELS.tolist(), "hard") + written_out(scores.T, LABELS.tolist(), "hard")) / 2
    loss = Triplet(margin=MARGIN, warmup_steps=0)(pairs, parts["similarity"], torch.tensor(0.0)).loss
    assert loss.item() == pytest.approx(expected, abs=1e-9)
