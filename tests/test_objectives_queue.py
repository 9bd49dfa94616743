"""The queue and its loss, the momentum encoder and its schedule."""

from __future__ import annotations

import math

import pytest
import torch
from test_objectives import written_out_info_nce
from test_objectives_pairs import LABELS, WIDTH, Towers, encode, parts_of, random_batch, random_pairs
from torch import Tensor
from torch_parts import one_thread as one_thread

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Cosine, RegionWord
from open_autoglm.objectives import MomentumEncoder, MomentumSchedule, Pairs, QueueContrastive
from open_autoglm.objectives.pairs import as_columns
from open_autoglm.objectives.queue import Queue

SCALE = torch.tensor(1.0, dtype=torch.float64)


def numbered(first: int, count: int) -> Pairs:
    """Pairs whose vectors and keys are their numbers."""
    labels = torch.arange(first, first + count)
    side = labels[:, None].expand(-1, WIDTH).float()
    pairs = random_pairs(labels)
    return Pairs(pairs.images.map(lambda _: side), pairs.texts.map(lambda _: -side), labels)


def held(queue: Queue) -> list[int]:
    return sorted(queue.labels[: len(queue), 0].tolist())


def test_the_queue_wraps_around_and_forgets_the_oldest() -> None:
    queue = Queue(size=7, dimension=WIDTH)
    assert len(queue) == 0
    queue.push(numbered(0, 5))
    assert held(queue) == [0, 1, 2, 3, 4]
    queue.push(numbered(5, 5))
    assert held(queue) == [3, 4, 5, 6, 7, 8, 9]
    assert torch.equal(queue.images[:, 0], queue.labels[:, 0].float())
    assert torch.equal(queue.texts, -queue.images)
    queue.push(numbered(10, 20))
    assert held(queue) == list(range(23, 30))


def test_the_queue_goes_on_from_its_state_dict() -> None:
    queue, again = Queue(size=7, dimension=WIDTH), Queue(size=7, dimension=WIDTH)
    queue.push(numbered(0, 9))
    again.load_state_dict(queue.state_dict())
    for each in (queue, again):
        each.push(numbered(9, 3))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in queue.state_dict().items())


def test_a_batch_with_other_keys_than_the_queue_s_is_refused() -> None:
    with pytest.raises(SettingError, match="keys"):
        Queue(size=7, dimension=WIDTH, keys=2).push(numbered(0, 3))
    with pytest.raises(SettingError, match="at least one"):
        Queue(size=0, dimension=WIDTH)


def expected_loss(pairs: Pairs, images: Tensor, texts: Tensor, labels: list[int]) -> float:
    """Batch pictures against candidate texts and batch texts against candidate pictures, written out."""
    same = [[i == j or own == other for j, other in enumerate(labels)] for i, own in enumerate(pairs.labels.tolist())]
    to_texts = (math.e * pairs.images.whole @ texts.T).tolist()
    to_images = (math.e * pairs.texts.whole @ images.T).tolist()
    return (written_out_info_nce(to_texts, same) + written_out_info_nce(to_images, same)) / 2


def test_without_momentum_the_queue_holds_the_batches_before() -> None:
    objective = QueueContrastive(dimension=WIDTH, size=16).double()
    first, second = random_pairs(seed=1), random_pairs(LABELS + 3, seed=2)
    objective(first, Cosine(), SCALE)
    loss = objective(second, Cosine(), SCALE).loss
    images = torch.cat([second.images.whole, first.images.whole])
    texts = torch.cat([second.texts.whole, first.texts.whole])
    expected = expected_loss(second, images, texts, [*second.labels.tolist(), *first.labels.tolist()])
    assert loss.item() == pytest.approx(expected, abs=1e-9)
    assert len(objective.queue) == 16


def test_with_momentum_candidates_are_the_targets_and_the_queue_keeps_those() -> None:
    objective = QueueContrastive(dimension=WIDTH, size=16).double()
    before, now, targets = (random_pairs(seed=seed) for seed in (1, 2, 3))
    objective(Pairs(before.images, before.texts, LABELS, targets), Cosine(), SCALE)
    assert torch.equal(objective.queue.texts[:10], targets.texts.whole)
    latest = random_pairs(seed=4)
    loss = objective(Pairs(now.images, now.texts, LABELS, latest), Cosine(), SCALE).loss
    images = torch.cat([latest.images.whole, targets.images.whole])
    texts = torch.cat([latest.texts.whole, targets.texts.whole])
    assert loss.item() == pytest.approx(expected_loss(now, images, texts, LABELS.tolist() * 2), abs=1e-9)


def test_soft_targets_are_the_teacher_s_softmax() -> None:
    online, targets = random_pairs(seed=2), random_pairs(seed=3)
    pairs = Pairs(online.images, online.texts, LABELS, targets)
    hard, soft, half = (
        QueueContrastive(dimension=WIDTH, size=16, distillation=share)(pairs, Cosine(), SCALE).loss.item()
        for share in (0.0, 1.0, 0.5)
    )
    expected = 0.0
    sides = [(online.images, targets.images, targets.texts), (online.texts, targets.texts, targets.images)]
    for student, teacher, candidates in sides:
        for own, taught in zip(student.whole, teacher.whole, strict=True):
            target = (math.e * candidates.whole @ taught).softmax(0)
            expected -= (target * (math.e * candidates.whole @ own).log_softmax(0)).sum().item() / len(LABELS) / 2
    assert soft == pytest.approx(expected, abs=1e-9)
    assert half == pytest.approx((hard + soft) / 2, abs=1e-9)


def test_soft_targets_warm_up() -> None:
    objective = QueueContrastive(dimension=WIDTH, size=1, distillation=0.4, distillation_warmup=2)
    online, targets = random_pairs(seed=2), random_pairs(seed=3)
    pairs = Pairs(online.images, online.texts, LABELS, targets)
    plain = QueueContrastive(dimension=WIDTH, size=1)
    assert objective(pairs, Cosine(), SCALE).loss == plain(pairs, Cosine(), SCALE).loss
    assert objective(pairs, Cosine(), SCALE).loss != plain(pairs, Cosine(), SCALE).loss


def test_a_queued_duplicate_caption_is_pulled_and_never_pushed() -> None:
    objective = QueueContrastive(dimension=WIDTH, size=4).double()
    queued = random_pairs(torch.tensor([1, 9]), seed=1)
    objective.queue.push(queued)
    pairs = random_pairs(torch.tensor([0, 1, 2]), seed=2)
    images = pairs.images.whole.requires_grad_()
    objective.eval()(pairs, Cosine(), SCALE).loss.backward()
    without = QueueContrastive(dimension=WIDTH, size=4).double().eval()
    without.queue.push(random_pairs(torch.tensor([8, 9]), seed=1))
    as_negative = torch.autograd.grad(without(pairs, Cosine(), SCALE).loss, images)[0]
    assert images.grad is not None
    pull, push = (-(gradient[1] @ queued.texts.whole[0]).item() for gradient in (images.grad, as_negative))
    assert pull > 0 > push


def test_evaluation_leaves_the_queue_alone() -> None:
    objective = QueueContrastive(dimension=WIDTH, size=16).eval()
    objective(random_pairs(), Cosine(), SCALE)
    assert len(objective.queue) == 0 and int(objective.step) == 0


def test_a_queue_keeps_several_keys_a_pair() -> None:
    objective = QueueContrastive(dimension=WIDTH, size=16, keys=2)
    labels = torch.stack([LABELS, LABELS.flip(0)], dim=1)
    objective(random_pairs(labels), Cosine(), SCALE)
    assert torch.equal(objective.queue.labels[:10], as_columns(labels))


def test_region_word_needs_the_loss_without_a_queue() -> None:
    with pytest.raises(SettingError, match="without a queue"):
        QueueContrastive(dimension=WIDTH, size=16)(random_pairs(), RegionWord(), SCALE)


def test_the_momentum_schedule_waits_then_rises_along_a_cosine() -> None:
    schedule = MomentumSchedule(start=0.9, end=1.0, steps=10, begin=5)
    assert [schedule(update) for update in (0, 4, 5, 10, 15, 99)] == pytest.approx([0, 0, 0.9, 0.95, 1.0, 1.0])
    assert MomentumSchedule()(0) == 0.995
    with pytest.raises(SettingError):
        MomentumSchedule(start=0.9, end=0.5)


def test_the_momentum_encoder_is_the_average_of_the_weights() -> None:
    model = Towers(dropout=0.5)
    momentum = MomentumEncoder(model, MomentumSchedule(start=0.8, end=0.8, begin=1))
    expected = {}
    for update in range(4):
        with torch.no_grad():
            for weight in model.parameters():
                weight += torch.randn_like(weight)
        keep = 0.0 if update == 0 else 0.8
        assert momentum.momentum == keep
        for name, weight in model.named_parameters():
            expected[name] = keep * expected.get(name, 0.0) + (1 - keep) * weight.detach()
        momentum.update_parameters(model)
    averaged = dict(momentum.module.named_parameters())
    assert all(torch.allclose(averaged[name], value, atol=1e-6) for name, value in expected.items())
    assert not any(weight.requires_grad for weight in momentum.parameters())

    again = MomentumEncoder(Towers(dropout=0.5), MomentumSchedule(start=0.8, end=0.8, begin=1))
    again.load_state_dict(momentum.state_dict())
    for each in (momentum, again):
        each.update_parameters(model)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in momentum.state_dict().items())


def test_the_momentum_encoder_gives_the_same_targets_each_time_and_no_gradients() -> None:
    parts = parts_of("queue-momentum")
    momentum, batch = parts["momentum"].train(), random_batch()
    first, second = encode(momentum, batch), encode(momentum, batch)
    assert torch.equal(first.images.whole, second.images.whole), "dropout is off"
    assert not first.images.whole.requires_grad
    assert parts["model"].training
