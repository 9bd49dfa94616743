"""EfficientNet-Lite, the small convolutional picture tower, as a Hugging Face model.

It turns normalised pixels into a feature map and a pooled vector; it knows nothing about text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndNoAttention

from open_autoglm.errors import SettingError

# (expansion, channels, repeats, stride, kernel) of EfficientNet-B0 (Tan & Le, 2019, table 1), from which every
# Lite size is scaled. Lite drops squeeze-and-excitation, uses ReLU6, and scales neither the stem nor the head.
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)


class EfficientNetLiteConfig(PreTrainedConfig):
    """Width and depth of an EfficientNet-Lite; lite0 is (1.0, 1.0), lite1 (1.0, 1.1), lite2 (1.1, 1.2).

    ``block_widths``: the inner channels of every block, of a tower that was pruned; 0 for a block that is gone. None
    takes what the size has. The first block has as many as the stem.
    """

    model_type = "efficientnet_lite"

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        stem_channels: int = 32,
        hidden_size: int = 1280,
        num_channels: int = 3,
        batch_norm_eps: float = 1e-3,
        block_widths: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        self.width = width
        self.depth = depth
        self.stem_channels = stem_channels
        self.hidden_size = hidden_size
        self.num_channels = num_channels
        self.batch_norm_eps = batch_norm_eps
        self.block_widths = None if block_widths is None else list(block_widths)
        super().__init__(**kwargs)


def scaled_channels(channels: int, width: float) -> int:
    """Channels scaled by width and rounded to a multiple of 8, never more than 10 % down (the paper's rule)."""
    wanted = channels * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


@dataclass(frozen=True)
class BlockShape:
    """An inverted residual block's channels, kernel and stride; ``inner`` 0 for one that is gone."""

    inputs: int
    inner: int
    outputs: int
    kernel: int
    stride: int
    expands: bool

    @property
    def residual(self) -> bool:
        """Whether the input is added to what the block makes of it."""
        return self.stride == 1 and self.inputs == self.outputs


def block_shapes(config: EfficientNetLiteConfig) -> list[BlockShape]:
    """The tower's blocks, first to last. SettingError for ``block_widths`` that do not fit."""
    shapes = list(full_shapes(config))
    widths = config.block_widths
    if widths is None:
        return shapes
    if len(widths) != len(shapes):
        raise SettingError(f"block_widths has {len(widths)} numbers, and the tower {len(shapes)} blocks.")
    for number, (shape, width) in enumerate(zip(shapes, widths, strict=True)):
        if width < 0 or (width == 0 and not shape.residual) or (not shape.expands and width != shape.inputs):
            raise SettingError(f"block_widths: block {number} cannot have {width} inner channels.")
    return [replace(shape, inner=width) for shape, width in zip(shapes, widths, strict=True)]


def full_shapes(config: EfficientNetLiteConfig) -> Iterator[BlockShape]:
    """The blocks of the size, with all their channels."""
    inputs = config.stem_channels
    for number, (expansion, channels, repeats, stride, kernel) in enumerate(STAGES):
        outputs = scaled_channels(channels, config.width)
        fixed = number in (0, len(STAGES) - 1)  # Lite keeps the first and the last stage at one block
        for repeat in range(repeats if fixed else math.ceil(repeats * config.depth)):
            first = stride if repeat == 0 else 1
            yield BlockShape(inputs, inputs * expansion, outputs, kernel, first, expands=expansion != 1)
            inputs = outputs


class Convolution(nn.Module):
    """Convolution, batch norm and, where ``act``, ReLU6.

    A stride of 2 pads one less before than after, as TensorFlow does for even sizes: the published weights expect it.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, eps: float, act: bool) -> None:
        super().__init__()
        before, after = ((kernel - 1) // 2,) * 2 if stride == 1 else ((kernel - 2) // 2, (kernel - 1) // 2)
        self.pad = nn.ZeroPad2d((before, after, before, after)) if after else nn.Identity()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=eps, momentum=0.01)
        self.act = nn.ReLU6() if act else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # An exported graph keeps the norm, so that it finds its weights where they are stored; its engine folds them.
        apart = self.norm.training or torch.compiler.is_compiling()
        padded = self.pad(x)
        out: Tensor = self.act(self.norm(self.conv(padded)) if apart else self.folded(padded))
        return out

    def folded(self, x: Tensor) -> Tensor:
        """The convolution with the norm's fixed statistics folded into its weights: one pass over the maps, not two.

        Weights and norm still learn, as the gradient runs through the folding.
        """
        conv, norm = self.conv, self.norm
        mean, variance = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        shift = norm.bias - mean * scale
        folded: Tensor = F.conv2d(
            x, conv.weight * scale[:, None, None, None], shift, conv.stride, conv.padding, groups=conv.groups
        )
        return folded


class InvertedResidual(nn.Module):
    """Expand, convolve each channel alone, project; added to the input where the shapes agree (MobileNetV2)."""

    def __init__(self, shape: BlockShape, eps: float) -> None:
        super().__init__()
        inner = shape.inner
        self.expand = Convolution(shape.inputs, inner, 1, 1, 1, eps, act=True) if shape.expands else nn.Identity()
        self.depthwise = Convolution(inner, inner, shape.kernel, shape.stride, inner, eps, act=True)
        self.project = Convolution(inner, shape.outputs, 1, 1, 1, eps, act=False)
        self.residual = shape.residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


class EfficientNetLiteModel(PreTrainedModel):
    """``pixel_values`` [B, 3, H, W] to ``last_hidden_state`` [B, C, H/32, W/32] and its mean ``pooler_output``."""

    config_class = EfficientNetLiteConfig
    main_input_name = "pixel_values"
    base_model_prefix = "efficientnet_lite"

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__(config)
        eps = config.batch_norm_eps
        self.stem = Convolution(config.num_channels, config.stem_channels, 3, 2, 1, eps, act=True)
        shapes = block_shapes(config)
        # A block that is gone keeps its place, so that the others keep their weights' names.
        self.blocks = nn.Sequential(*(InvertedResidual(one, eps) if one.inner else nn.Identity() for one in shapes))
        self.head = Convolution(shapes[-1].outputs, config.hidden_size, 1, 1, 1, eps, act=True)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutputWithPoolingAndNoAttention:
        features = self.head(self.blocks(self.stem(pixel_values)))
        return BaseModelOutputWithPoolingAndNoAttention(
            last_hidden_state=features, pooler_output=features.mean(dim=(2, 3))
        )


def from_published(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Renames the tensors of a published EfficientNet-Lite ``.pth`` file (TensorFlow-style names) to this model's.

    The classifier (``_fc``) is left out: it belongs to whoever uses the class scores.
    """
    renamed: dict[str, Tensor] = {}
    layers = {
        "_expand_conv": "expand.conv",
        "_bn0": "expand.norm",
        "_depthwise_conv": "depthwise.conv",
        "_bn1": "depthwise.norm",
        "_project_conv": "project.conv",
        "_bn2": "project.norm",
    }
    ends = {"_conv_stem": "stem.conv", "_bn0": "stem.norm", "_conv_head": "head.conv", "_bn1": "head.norm"}
    for name, tensor in state.items():
        if name.startswith("_fc."):
            continue
        parts = name.split(".")
        if parts[0] == "_blocks":
            renamed[f"blocks.{parts[1]}.{layers[parts[2]]}.{parts[3]}"] = tensor
        else:
            renamed[f"{ends[parts[0]]}.{parts[1]}"] = tensor
    return renamed
