"""Cached gradients: the exact gradients of a large batch in the memory of a small one (GradCache, 2101.06983).

It knows steps and their chunks; it works with every objective, as it only stands between vectors and encoders.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from open_autoglm.errors import SettingError

from .objective import Result
from .pairs import Pairs, concatenate
from .step import Batch, Step


@dataclass(frozen=True)
class GradCache(Step):
    """A step that encodes ``chunk`` pairs at a time, twice: without gradients for the loss, then with them.

    The first chunk is encoded with gradients at once, and once only. Dropout draws the same in both passes. Batch
    normalisation normalises within a chunk and takes in its statistics once. At most one chunk's activations are
    held; the cost is one more forward pass of all chunks but one. A batch that fits one chunk is a plain step.
    """

    chunk: int = 32

    def __post_init__(self) -> None:
        if self.chunk < 1:
            raise SettingError(f"A chunk holds at least one pair, not {self.chunk}.")

    def step(self, batch: Batch, loss_scale: float = 1.0) -> Result:
        first, *others = split(batch, self.chunk)
        if not others:
            return super().step(batch, loss_scale)
        targets = self.encode_targets(batch)
        with self.reduction(False):
            kept = self.encode(self.model, first)
        encoded, randomness = self.without_gradients(others)
        pairs = concatenate([kept, *encoded]).map(as_leaf)
        result = self.judge(pairs, targets)
        beyond = self.beyond_encoders()
        wanted = [*pairs.vectors, *beyond]
        gradients = torch.autograd.grad(result.loss * loss_scale, wanted, allow_unused=True)
        cached, rest = gradients[: len(pairs.vectors)], gradients[len(pairs.vectors) :]
        with self.reduction(False):
            backward(kept.vectors, shares(cached, 0, kept.vectors))
        done = len(kept)
        for part, state in zip(others, randomness, strict=True):
            last = part is others[-1]
            with self.reduction(last), state.again():
                vectors = self.encode(self.model, part).vectors
                own = shares(cached, done, vectors)
                # DDP reduces in the last backward pass, so every other gradient has to be part of it.
                backward([*vectors, *beyond] if last else vectors, [*own, *rest] if last else own)
            done += len(vectors[0])
        return replace(result, loss=result.loss.detach())

    def without_gradients(self, chunks: list[Batch]) -> tuple[list[Pairs], list[RandomState]]:
        """The first pass: the pairs of each chunk, and where the random numbers stood before it."""
        randomness: list[RandomState] = []
        encoded: list[Pairs] = []
        with torch.no_grad(), frozen_statistics(self.model):
            for part in chunks:
                randomness.append(RandomState(self.logit_scale.device))
                encoded.append(self.encode(self.model, part))
        return encoded, randomness

    def encode_targets(self, batch: Batch) -> Pairs | None:
        parts = [super(GradCache, self).encode_targets(part) for part in split(batch, self.chunk)]
        known = [part for part in parts if part is not None]
        return concatenate(known) if known else None

    def beyond_encoders(self) -> list[nn.Parameter]:
        """What the loss may use besides vectors: temperature, SigLIP's bias, the bilinear matrix, each once."""
        parameters = [self.logit_scale, *self.objective.parameters(), *self.similarity.parameters()]
        return [parameter for parameter in dict.fromkeys(parameters) if parameter.requires_grad]

    def reduction(self, wanted: bool) -> AbstractContextManager[None]:
        """Holds back DDP's reduction of gradients unless it is wanted, where the model is wrapped for it."""
        if wanted or not isinstance(self.model, DistributedDataParallel):
            return nullcontext()
        return self.model.no_sync()


def split(batch: Batch, size: int) -> list[Batch]:
    """A batch of tensors and lists, all of one length, in parts of at most ``size``."""
    length = len(next(iter(batch.values())))
    return [{key: value[at : at + size] for key, value in batch.items()} for at in range(0, length, size)]


def as_leaf(tensor: Tensor) -> Tensor:
    """Vectors as leaves that collect gradients; masks and labels as they are."""
    return tensor.detach().requires_grad_() if tensor.is_floating_point() else tensor


def shares(gradients: Sequence[Tensor | None], first: int, vectors: list[Tensor]) -> list[Tensor | None]:
    """A chunk's share of each cached gradient, without the padding that other chunks needed."""
    return [
        None if gradient is None else gradient[first : first + len(tensor), : tensor.shape[1]]
        for gradient, tensor in zip(gradients, vectors, strict=True)
    ]


def backward(roots: list[Tensor], gradients: list[Tensor | None]) -> None:
    """Sends each root's gradient into the graph behind it; passes over what has or takes none."""
    pairs = [(root, sent) for root, sent in zip(roots, gradients, strict=True) if sent is not None]
    taking = [(root, sent) for root, sent in pairs if root.requires_grad]
    if taking:
        torch.autograd.backward([root for root, _ in taking], [sent for _, sent in taking])


class RandomState:
    """torch's random numbers from here on, to be drawn a second time. Python's and numpy's are not kept."""

    def __init__(self, device: torch.device) -> None:
        self.devices = [device] if device.type == "cuda" else []
        self.cpu = torch.get_rng_state()
        self.cuda = [torch.cuda.get_rng_state(device) for device in self.devices]

    @contextmanager
    def again(self) -> Iterator[None]:
        """Draws them again inside; afterwards randomness goes on as if it had not happened."""
        with torch.random.fork_rng(devices=self.devices):
            torch.set_rng_state(self.cpu)
            for device, state in zip(self.devices, self.cuda, strict=True):
                torch.cuda.set_rng_state(state, device)
            yield


@contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """Batch normalisation in training mode normalises as usual inside, but leaves its running statistics alone."""
    tracking = [
        module
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.training and module.track_running_stats
    ]
    try:
        for module in tracking:
            module.track_running_stats = False
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
