"""Recall both ways on validation pictures while a model is trained.

It knows a model that compares; what recall is, ``evaluation`` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from open_autoglm.data import PairCollator, PairDataset
from open_autoglm.evaluation.retrieval import recall_at_k
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.similarity import Features, join

from .material import captions_of

_BATCH = 32


def validate(
    model: OpenAutoGLM,
    dataset: PairDataset,
    collator: PairCollator,
    ks: Sequence[int],
    autocast: AbstractContextManager[object] | None = None,
) -> dict[str, float]:
    """Recall at ``ks`` both ways, 0..1, and their mean as ``mean_recall``, by the model's own similarity."""
    captions, positive = captions_of(dataset.records)
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad(), autocast or nullcontext():
        images, texts = list[Features](), list[Features]()
        for rows in chunks(len(dataset)):
            batch = collator([dataset[row] for row in rows])
            images.append(model.image_side(batch["pixel_values"].to(device)))
        for rows in chunks(len(captions)):
            words = collator.texts([captions[row] for row in rows])
            texts.append(model.text_side(words["input_ids"].to(device), words["attention_mask"].to(device)))
        scores = model.similarity(join(images), join(texts)).float().cpu().numpy()
    figures = recall_at_k(scores, positive, ks)
    return figures | {"mean_recall": sum(figures.values()) / len(figures)}


def batches(dataset: Any, collator: Any, device: torch.device) -> Iterator[dict[str, Tensor]]:
    """A whole data set in order, collated, on a device."""
    for rows in chunks(len(dataset)):
        yield {name: one.to(device) for name, one in collator([dataset[row] for row in rows]).items()}


def chunks(count: int) -> Iterator[range]:
    """Ranges of at most a batch."""
    return (range(start, min(start + _BATCH, count)) for start in range(0, count, _BATCH))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every part has the mode it had."""
    modes = [(one, one.training) for one in module.modules()]
    try:
        module.eval()
        yield
    finally:
        for one, mode in modes:
            one.training = mode
