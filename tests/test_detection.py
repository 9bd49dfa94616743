"""Detectors as region proposers: three kinds of Hugging Face checkpoints, of any classes, and what is no detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch_parts import one_thread as one_thread
from transformers import (
    AutoModelForObjectDetection,
    BertConfig,
    BertModel,
    DetrConfig,
    DetrImageProcessorPil,
    DFineConfig,
    HGNetV2Config,
    ResNetConfig,
    RTDetrConfig,
    RTDetrImageProcessorPil,
    RTDetrResNetConfig,
)

from open_autoglm.errors import BundleError, SettingError
from open_autoglm.modeling.detection import load_detector
from open_autoglm.runtime.images import decode

SAMPLES = Path(__file__).parent.parent / "samples"
SMALL = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "num_queries": 12,
}
STAGES = {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"}
LEVELS = ["stage2", "stage3", "stage4"]
SEVERAL = {"encoder_in_channels": [8, 16, 16], "encoder_hidden_dim": 16, "decoder_in_channels": [16, 16, 16]}
HGNET = HGNetV2Config(
    hidden_sizes=[8, 8, 16, 16],
    stem_channels=[3, 4, 8],
    stage_in_channels=[8, 8, 8, 16],
    stage_mid_channels=[4] * 4,
    stage_out_channels=[8, 8, 16, 16],
    stage_num_blocks=[1] * 4,
    stage_numb_of_layers=[1] * 4,
    stage_light_block=[False] * 4,
    stage_kernel_size=[3] * 4,
    out_features=LEVELS,
)
KINDS: Mapping[str, Any] = {
    "detr": lambda **labels: DetrConfig(
        use_timm_backbone=False,
        backbone=None,
        backbone_config=ResNetConfig(**STAGES, out_features=["stage4"]),
        **SMALL,
        **labels,
    ),
    "rt_detr": lambda **labels: RTDetrConfig(
        backbone_config=RTDetrResNetConfig(**STAGES, out_features=LEVELS), **SMALL, **SEVERAL, **labels
    ),
    "d_fine": lambda **labels: DFineConfig(backbone_config=HGNET, **SMALL, **SEVERAL, **labels),
}


def saved(kind: str, folder: Path, names: list[str]) -> Path:
    """A small random detector of some classes, with its image processor."""
    torch.manual_seed(0)
    config = KINDS[kind](id2label=dict(enumerate(names)), label2id={name: n for n, name in enumerate(names)})
    AutoModelForObjectDetection.from_config(config).save_pretrained(folder)
    if kind == "detr":
        DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 128}).save_pretrained(folder)
    else:
        RTDetrImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [["thing"], ["tram", "teapot", "N/A", "tiger", "tuba"]], ids=["one", "others"])
def test_a_checkpoint_of_any_kind_and_classes_gives_boxes(kind: str, names: list[str], tmp_path: Path) -> None:
    detector = load_detector(saved(kind, tmp_path, names), threshold=0.0)
    pixels = decode(next((SAMPLES / "clothing").rglob("*.jpg")))
    found = detector.detect(pixels)
    boxes = detector(pixels)
    assert boxes.dtype == np.float32 and boxes.shape[1] == 4 and 1 <= len(boxes) <= 12
    assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()
    assert len(found.scores) == len(boxes) and (np.diff(found.scores) <= 0).all()
    np.testing.assert_array_equal(load_detector(tmp_path, threshold=0.0, most=1)(pixels), boxes[:1])


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_are_where_the_model_says(kind: str, tmp_path: Path) -> None:
    detector = load_detector(saved(kind, tmp_path, ["a", "b"]), threshold=0.0, overlap=1.0)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 120, 3), dtype=np.uint8)
    with torch.no_grad():
        centres = detector.model(**detector.processor(images=pixels, return_tensors="pt")).pred_boxes[0].numpy()
    corners = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, :2] + centres[:, 2:] / 2], axis=1)
    for box in detector(pixels):
        assert np.abs(corners.clip(0, 1) - box).max(axis=1).min() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_where_nothing_is_detected_the_whole_picture_is_the_region(kind: str, tmp_path: Path) -> None:
    detector = load_detector(saved(kind, tmp_path, ["a"]), threshold=0.999)
    for shape in ((3, 3, 3), (1, 200, 3), (300, 200, 3)):
        np.testing.assert_array_equal(detector(np.zeros(shape, dtype=np.uint8)), [[0, 0, 1, 1]])


def test_what_is_no_detector_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be loaded"):
        load_detector(tmp_path / "missing")
    folder = saved("detr", tmp_path / "whole", ["a"])
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match="cannot be loaded"):
        load_detector(folder)
    words = BertConfig(hidden_size=8, num_attention_heads=1, num_hidden_layers=1, intermediate_size=8, vocab_size=9)
    BertModel(words).save_pretrained(tmp_path / "words")
    DetrImageProcessorPil().save_pretrained(tmp_path / "words")
    with pytest.raises(BundleError, match="cannot be loaded"):
        load_detector(tmp_path / "words")
    AutoModelForObjectDetection.from_config(KINDS["detr"]()).model.save_pretrained(tmp_path / "headless")
    DetrImageProcessorPil().save_pretrained(tmp_path / "headless")
    with pytest.raises(BundleError, match="lacks weights"):
        load_detector(tmp_path / "headless")


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    folder = saved("detr", tmp_path, ["a"])
    with pytest.raises(SettingError, match=r"1\.\.1000"):
        load_detector(folder, most=0)
