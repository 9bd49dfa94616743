"""The picture tower as stages: the inner channels of EfficientNet-Lite's inverted residual blocks.

It knows the tower's modules; it knows nothing about which channels should go.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from open_autoglm.errors import SettingError
from open_autoglm.modeling import EfficientNetLiteModel, OpenAutoGLM
from open_autoglm.modeling.efficientnet_lite import Convolution, InvertedResidual

from .least_squares import Fit
from .stages import Stage, State

# Moving a number to and from memory costs as much as this many multiply-adds, and a depthwise one as these.
MOVED, DEPTHWISE = 40.0, 2.0


class Maps:
    """What the two kinds of stages of a picture tower share: maps [B, C, H, W] and a 1x1 convolution that is fitted."""

    columns, multiple = 1, 16
    last: Convolution

    def take(self, inner: Tensor, kept: Tensor) -> Tensor:
        return inner[:, kept]

    def rows(self, values: Tensor, mask: Tensor | None) -> Tensor:
        return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])

    def mapped(self, inner: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.conv2d(inner, weight[:, :, None, None], bias)

    def map(self) -> tuple[Tensor, Tensor]:
        scale, shift = affine(self.last.norm)
        return self.last.conv.weight[:, :, 0, 0] * scale[:, None], shift

    def put(self, fit: Fit) -> None:
        """The fitted map as the convolution, whose norm then only adds the bias."""
        conv, norm = self.last.conv, self.last.norm
        conv.weight = nn.Parameter(fit.weight[:, :, None, None].contiguous())
        conv.in_channels = fit.weight.shape[1]
        with torch.no_grad():
            norm.weight.fill_(1)
            norm.bias.copy_(fit.bias)
            norm.get_buffer("running_mean").zero_()
            norm.get_buffer("running_var").fill_(1 - norm.eps)


class Block(Maps):
    """An inverted residual block; the first one begins with the stem, whose channels are its own."""

    prunable = True

    def __init__(self, name: str, block: InvertedResidual, stem: Convolution | None) -> None:
        self.name, self.block, self.stem, self.last = name, block, stem, block.project
        depthwise = block.depthwise.conv
        self.units = depthwise.out_channels
        self.removable = block.residual
        widen = stem if stem is not None else block.expand
        assert isinstance(widen, Convolution)  # noqa: S101  (only the block after the stem does not expand)
        self.widen = widen
        norms = 4  # weight and bias of two
        inputs = widen.conv.weight[0].numel() + depthwise.weight[0].numel()
        self.parameters = inputs + block.project.conv.out_channels + norms

    def inner(self, state: State) -> Tensor:
        inner: Tensor = self.block.depthwise(self.widen(state.values))
        return inner

    def base(self, state: State) -> Tensor | None:
        return state.values if self.block.residual else None

    def finish(self, summed: Tensor, mask: Tensor | None) -> State:
        return State(summed)

    def work(self, state: State) -> float:
        depthwise = self.block.depthwise.conv
        before = state.values[:, 0].numel() / self.widen.conv.stride[0] ** 2
        after = before / depthwise.stride[0] ** 2
        wide = before * (self.widen.conv.weight[0].numel() + MOVED)
        deep = after * (depthwise.weight[0].numel() * DEPTHWISE + MOVED)
        return float(wide + deep + after * self.block.project.conv.out_channels)

    def narrow(self, fit: Fit) -> None:
        for part in (self.widen, self.block.depthwise):
            keep_outputs(part, fit.kept)
        depthwise = self.block.depthwise.conv
        depthwise.in_channels = depthwise.groups = len(fit.kept)
        self.put(fit)


class Head(Maps):
    """The tower's last convolution: nothing of it goes, as heads read all of it, but its weights are fitted anew."""

    prunable = removable = False

    def __init__(self, name: str, head: Convolution) -> None:
        self.name, self.last = name, head
        self.units, self.parameters = head.conv.in_channels, 0

    def inner(self, state: State) -> Tensor:
        return state.values

    def base(self, state: State) -> Tensor | None:
        return None

    def finish(self, summed: Tensor, mask: Tensor | None) -> State:
        return State(self.last.act(summed))

    def work(self, state: State) -> float:
        return 0.0

    def narrow(self, fit: Fit) -> None:
        self.put(fit)


class PictureTower:
    """Stages of a model's picture tower; a batch is normalised pixels [B, 3, H, W]. SettingError for another kind."""

    name = "vision"

    def __init__(self, model: OpenAutoGLM) -> None:
        tower = model.vision.tower
        if not isinstance(tower, EfficientNetLiteModel):
            kind = model.config.vision_config.model_type
            raise SettingError(f"A picture tower of the kind {kind} cannot be pruned: only efficientnet_lite can.")
        self.model, self.tower = model, tower
        there = [(place, block) for place, block in enumerate(tower.blocks) if isinstance(block, InvertedResidual)]
        self.places = [place for place, _ in there]
        blocks = [Block(f"vision.blocks.{place}", block, None if place else tower.stem) for place, block in there]
        self.stages: Sequence[Stage] = [*blocks, Head("vision.head", tower.head)]

    def start(self, batch: Sequence[Tensor]) -> State:
        return State(batch[0].contiguous(memory_format=torch.channels_last))

    def vectors(self, state: State) -> Tensor:
        pooled = state.values.mean(dim=(2, 3))
        return F.normalize(self.model.image_head(pooled), dim=-1)

    def settle(self, widths: Sequence[int]) -> None:
        kept = dict(zip(self.places, widths, strict=False))  # the head after the blocks keeps all
        for place, width in kept.items():
            if width == 0:
                self.tower.blocks[place] = nn.Identity()
        config = self.model.config.vision_config
        config.block_widths = [kept.get(place, 0) for place in range(len(self.tower.blocks))]
        config.stem_channels = config.block_widths[0]

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.tower.parameters())


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a norm with fixed statistics does: scale and shift of every channel."""
    scale = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
    return scale, norm.bias - norm.get_buffer("running_mean") * scale


def keep_outputs(part: Convolution, kept: Tensor) -> None:
    """Leaves of a convolution and its norm the output channels ``kept``."""
    conv, norm = part.conv, part.norm
    conv.weight = nn.Parameter(conv.weight.detach()[kept].clone())
    conv.out_channels = norm.num_features = len(kept)
    norm.weight, norm.bias = (nn.Parameter(one.detach()[kept].clone()) for one in (norm.weight, norm.bias))
    for name in ("running_mean", "running_var"):
        norm.register_buffer(name, norm.get_buffer(name)[kept].clone())
