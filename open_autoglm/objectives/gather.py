"""The pairs of all processes as one batch, so that every process sees every negative.

It knows ``torch.distributed`` and tensors; no objective knows that there is more than one process.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from open_autoglm.modeling.similarity import Features, Parts

from .pairs import Pairs


def gather(pairs: Pairs) -> Pairs:
    """The pairs of all processes, first those of rank 0; with one process, the pairs themselves.

    Every process then computes the same loss of the whole batch. Its gradients reach the process's own vectors,
    multiplied by the number of processes, so that the mean that ``DistributedDataParallel`` takes over processes is
    exactly the single-process gradient, of the encoders and of the temperature alike, whatever the objective.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return pairs
    targets = pairs.targets and gather(pairs.targets)
    return Pairs(_gather_features(pairs.images), _gather_features(pairs.texts), _gather(pairs.labels), targets)


def _gather_features(side: Features) -> Features:
    parts = side.parts and Parts(_gather(side.parts.vectors), _gather(side.parts.mask))
    return Features(_gather(side.whole), parts)


def _gather(tensor: Tensor) -> Tensor:
    """[b, ...] of all processes as [B, ...]; processes may differ in b and in width, the narrower are zero-padded."""
    shape = torch.tensor(tensor.shape, device=tensor.device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    rows = [int(each[0]) for each in shapes]
    padded = tensor.new_zeros(torch.stack(shapes).amax(dim=0).tolist())
    padded[tuple(slice(size) for size in tensor.shape)] = tensor
    gathered: Tensor = _AllGather.apply(padded.to(torch.uint8) if tensor.dtype == torch.bool else padded)
    return torch.cat([part[:count] for part, count in zip(gathered, rows, strict=True)]).to(tensor.dtype)


class _AllGather(torch.autograd.Function):
    """[b, ...] to [processes, b, ...]; the backward pass keeps the own slice and communicates nothing."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        received = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(received, tensor.contiguous())
        return torch.stack(received)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0][dist.get_rank()] * dist.get_world_size()
