"""Everything a training moves on: the model, its similarity and objective, the momentum copy and the average.

It is one module, so that one state dict resumes all of it; it knows nothing about data, optimisers or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.modeling.similarity import Features, Parts, join
from open_autoglm.objectives import MomentumEncoder, MomentumSchedule, Pairs, clamp_temperature_

from .lengths import by_length

INPUTS = ("pixel_values", "input_ids", "attention_mask", "labels")


class Encoder(nn.Module):
    """The model as training calls it: a batch's tensors to pairs, in float32.

    ``parts``: regions and words too. Without, the regions are not computed.
    """

    def __init__(self, model: OpenAutoGLM, parts: bool) -> None:
        super().__init__()
        self.model = model
        self.parts = parts
        if not parts:
            model.vision.grid = 0

    def forward(self, pixel_values: Tensor, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Pairs:
        images = self.images(pixel_values)
        return Pairs(images, self.texts(input_ids, attention_mask), labels)

    def images(self, pixel_values: Tensor) -> Features:
        """Pictures, and their regions where wanted; a model without regions has the whole as its only one."""
        views = self.model.get_image_views(pixel_values).float()
        if not self.parts:
            return Features(views[:, 0])
        regions = views[:, 1:] if views.shape[1] > 1 else views
        return Features(views[:, 0], Parts(regions, regions.new_ones(regions.shape[:2], dtype=torch.bool)))

    def texts(self, input_ids: Tensor, attention_mask: Tensor) -> Features:
        """Sentences, and their words where wanted; short ones do not wait for the long ones' padding."""
        groups = by_length(attention_mask)
        sides = [self.sentences(input_ids[rows, :width], attention_mask[rows, :width]) for rows, width in groups]
        back = torch.cat([rows for rows, _ in groups]).argsort()
        return join(sides).map(lambda tensor: tensor[back])

    def sentences(self, input_ids: Tensor, attention_mask: Tensor) -> Features:
        """Sentences of one group."""
        if not self.parts:
            return Features(self.model.get_text_features(input_ids, attention_mask).float())
        with outputs_of(self.model.text.tower) as outputs:
            whole = self.model.get_text_features(input_ids, attention_mask).float()
        words = F.normalize(self.model.text_head(outputs[0].last_hidden_state), dim=-1).float()
        return Features(whole, Parts(words, attention_mask.bool()))


class Learned(nn.Module):
    """What is compared in use: encoder and similarity."""

    def __init__(self, encoder: Encoder, similarity: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.similarity = similarity


class Alignment(nn.Module):
    """``momentum`` and ``average``: schedules of a target encoder and of an average of the weights, None for neither.

    ``frozen``: modules that stay in evaluation mode, as their parameters do not learn.
    """

    def __init__(
        self,
        model: OpenAutoGLM,
        similarity: nn.Module,
        objective: nn.Module,
        momentum: MomentumSchedule | None = None,
        average: MomentumSchedule | None = None,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.encoder = Encoder(model, bool(getattr(similarity, "needs_parts", False)))
        self.similarity = similarity
        self.objective = objective
        self.momentum = MomentumEncoder(self.encoder, momentum) if momentum else None
        self.average = MomentumEncoder(self.learned, average) if average else None
        self._frozen = tuple(frozen)

    def forward(self, **batch: Tensor) -> Pairs:
        pairs: Pairs = self.encoder(**batch)
        return pairs

    def train(self, mode: bool = True) -> Alignment:
        """As usual, but what is frozen stays in evaluation mode."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    @property
    def model(self) -> OpenAutoGLM:
        """The model itself."""
        return self.encoder.model

    @property
    def temperature(self) -> float:
        """The inverse of the model's scale."""
        return float((-self.model.logit_scale.detach()).exp())

    @property
    def learned(self) -> Learned:
        """Encoder and similarity as they are now."""
        return Learned(self.encoder, self.similarity)

    @property
    def evaluated(self) -> Learned:
        """The same with averaged weights, where they are averaged."""
        return self.learned if self.average is None else cast(Learned, self.average.module)

    def learning(self) -> Iterator[tuple[str, nn.Parameter]]:
        """What an optimiser changes, by names as the model's user knows them."""
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                yield public_name(name), parameter

    @torch.no_grad()
    def after_update(self) -> None:
        """What follows every optimiser step: limits, statistics shared between processes, and the copies."""
        clamp_temperature_(self.model.logit_scale)
        share_statistics(self.encoder)
        if self.momentum is not None:
            self.momentum.update_parameters(self.encoder)
        if self.average is not None:
            self.average.update_parameters(self.learned)


def encode(model: nn.Module, batch: Mapping[str, Any]) -> Pairs:
    """A batch of the collator as pairs, by an Alignment (or its DDP wrapper), an Encoder or a momentum copy."""
    pairs: Pairs = model(**{name: batch[name] for name in INPUTS})
    return pairs


def public_name(name: str) -> str:
    """A parameter of an Alignment by the model's own name for it."""
    return name.removeprefix("encoder.model.")


def share_statistics(module: nn.Module) -> None:
    """Averages the running statistics of batch normalisation over processes, so that all have the same model."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    if buffers:
        vector = parameters_to_vector(buffers)
        dist.all_reduce(vector)
        vector_to_parameters(vector / dist.get_world_size(), buffers)


@contextmanager
def outputs_of(module: nn.Module) -> Iterator[list[Any]]:
    """Collects what a module returns inside."""
    kept: list[Any] = []
    handle = module.register_forward_hook(lambda _, __, output: kept.append(output))
    try:
        yield kept
    finally:
        handle.remove()
