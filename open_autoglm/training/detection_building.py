"""From a detector's settings to the model and its image processor: one that starts at random, or a checkpoint.

It knows Hugging Face's detectors; it knows nothing about data or the training loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from transformers import (
    AutoImageProcessor,
    AutoModelForObjectDetection,
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
)

from open_autoglm.errors import BundleError

from .detection_recipe import DetectorSettings
from .reading import reason

_HEADS = 4


def build_detector(settings: DetectorSettings, classes: Sequence[str]) -> tuple[Any, Any]:
    """The model for these classes, and its image processor. BundleError for a ``start`` that cannot be loaded."""
    labels = {"id2label": dict(enumerate(classes)), "label2id": {name: number for number, name in enumerate(classes)}}
    if settings.start is None:
        height, width = settings.picture_size
        return small(settings, labels), RTDetrImageProcessorPil(size={"height": height, "width": width})
    try:
        model = AutoModelForObjectDetection.from_pretrained(settings.start, ignore_mismatched_sizes=True, **labels)
        return model, AutoImageProcessor.from_pretrained(settings.start)
    except (OSError, ValueError, RuntimeError) as error:
        raise BundleError(f"model.start is {settings.start!r}, which cannot be loaded: {reason(error)}.") from error


def small(settings: DetectorSettings, labels: dict[str, Any]) -> RTDetrForObjectDetection:
    """An RT-DETR of a few million weights at most. It learns on CPUs: its queries start at what its encoder finds."""
    first = 1 if settings.stride == 4 else 2
    levels = range(first, first + 3)
    backbone = RTDetrResNetConfig(
        embedding_size=settings.channels[0],
        hidden_sizes=settings.channels,
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=[f"stage{level}" for level in levels],
    )
    width = settings.width
    config = RTDetrConfig(
        backbone_config=backbone,
        freeze_backbone_batch_norms=False,  # frozen, they would never leave their random start
        encoder_in_channels=[settings.channels[level - 1] for level in levels],
        encoder_hidden_dim=width,
        encoder_ffn_dim=2 * width,
        encoder_attention_heads=_HEADS,
        feat_strides=[2 ** (level + 1) for level in levels],
        decoder_in_channels=[width] * 3,
        d_model=width,
        decoder_layers=settings.layers,
        decoder_ffn_dim=2 * width,
        decoder_attention_heads=_HEADS,
        num_queries=settings.queries,
        num_denoising=settings.queries,
        **labels,
    )
    return RTDetrForObjectDetection(config)
