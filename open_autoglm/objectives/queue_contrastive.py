"""InfoNCE with a queue of negatives and, where there is one, a momentum target encoder (MoCo, ALBEF).

It knows nothing about how the momentum encoder is made: its vectors come with the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from open_autoglm.errors import SettingError
from open_autoglm.modeling.similarity import Similarity

from .contrastive import info_nce
from .objective import Result, batch_figures, warmed_up
from .pairs import Pairs, shares_key
from .queue import Queue
from .temperature import inverse_temperature


class QueueContrastive(nn.Module):
    """Every picture against the batch's and the queue's texts, every text against their pictures, averaged.

    With ``targets`` in the batch, the candidates are the momentum encoder's and the queue keeps those (MoCo,
    1911.05722; ALBEF, 2107.07651, eq. 2). Without, the batch's own vectors are candidates with gradients and the
    queue keeps copies of them (cross-batch memory, 1912.06798). Queued pairs that share a key are positives.

    ``distillation`` mixes in cross-entropy with the momentum encoder's softmax over the same candidates, ALBEF's
    soft targets (eq. 6 there with 0.4, ramped up over ``distillation_warmup`` batches); unlike the hard part, it
    follows the teacher also among positives.
    """

    step: Tensor

    def __init__(
        self,
        dimension: int = 512,
        size: int = 4096,
        keys: int = 1,
        distillation: float = 0.0,
        distillation_warmup: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= distillation <= 1:
            raise SettingError(f"The share of distillation is between 0 and 1, not {distillation}.")
        self.queue = Queue(size, dimension, keys)
        self.distillation = distillation
        self.distillation_warmup = distillation_warmup
        self.register_buffer("step", torch.zeros((), dtype=torch.long))

    def forward(self, pairs: Pairs, similarity: Similarity, logit_scale: Tensor) -> Result:
        if similarity.needs_parts:
            raise SettingError("A queue keeps whole vectors; region-word similarity needs the loss without a queue.")
        targets = pairs.targets or pairs
        images, texts, labels = self.queue.behind(targets)
        scale = inverse_temperature(logit_scale)
        to_texts = scale * similarity(pairs.images, texts)
        to_images = scale * similarity(images, pairs.texts).T
        positive = shares_key(pairs.labels, labels)
        positive.diagonal().fill_(True)
        loss = (info_nce(to_texts, positive) + info_nce(to_images, positive)) / 2
        soft = warmed_up(self.distillation, int(self.step), self.distillation_warmup)
        if soft and pairs.targets is not None:
            with torch.no_grad():
                teacher_to_texts = scale * similarity(targets.images, texts)
                teacher_to_images = scale * similarity(images, targets.texts).T
            taught = (imitation(to_texts, teacher_to_texts) + imitation(to_images, teacher_to_images)) / 2
            loss = (1 - soft) * loss + soft * taught
        figures = batch_figures(to_texts[:, : len(pairs)], pairs.positive)
        figures |= {"temperature": 1 / scale.detach(), "queued": torch.tensor(float(len(self.queue)))}
        if self.training:
            self.queue.push(targets)
            self.step += 1
        return Result(loss, figures)


def imitation(logits: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy of logits [rows, candidates] with the teacher's softmax, averaged over rows."""
    return -(teacher.softmax(dim=1) * logits.log_softmax(dim=1)).sum(dim=1).mean()
