"""Checkpoints of other kinds become bundles whose vectors are those of the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessorPil,
    SiglipModel,
    SiglipProcessor,
    VisionTextDualEncoderConfig,
    VisionTextDualEncoderModel,
    VisionTextDualEncoderProcessor,
    ViTConfig,
    ViTImageProcessorPil,
)

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.importing import import_checkpoint
from open_autoglm.errors import BundleError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "photo", "of", "dog", "cat", "red", "and", "blue"]
TOWER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
TEXTS = ["a photo of a dog", "a red cat and a blue dog and a photo", "dog"]


def tokenizer(length: int) -> PreTrainedTokenizerFast:
    """A word tokenizer that ends each sentence with [SEP]."""
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        eos_token="[SEP]",
        model_max_length=length,
    )


def clip() -> tuple[Any, Any]:
    """A random CLIP, and its processor with a centre crop."""
    vision = TOWER | {"image_size": 32, "patch_size": 8}
    text = TOWER | {
        "vocab_size": len(WORDS),
        "max_position_embeddings": 12,
        "eos_token_id": 3,
        "bos_token_id": 2,
    }
    model = CLIPModel(CLIPConfig(vision_config=vision, text_config=text | {"pad_token_id": 0}, projection_dim=24))
    pictures = CLIPImageProcessorPil(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32})
    return model, CLIPProcessor(pictures, tokenizer(12))


def siglip() -> tuple[Any, Any]:
    """A random SigLIP, whose text tower attends to its padding."""
    vision = TOWER | {"image_size": 32, "patch_size": 8}
    text = TOWER | {"vocab_size": len(WORDS), "max_position_embeddings": 12, "projection_size": 32}
    ends = {"eos_token_id": 3, "bos_token_id": 2, "pad_token_id": 0}
    model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text | ends))
    return model, SiglipProcessor(SiglipImageProcessorPil(size={"height": 32, "width": 32}), tokenizer(12))


def dual() -> tuple[Any, Any]:
    """A random ViT and BERT side by side."""
    vision = ViTConfig(**TOWER, image_size=32, patch_size=8)
    text = BertConfig(**TOWER, vocab_size=len(WORDS), max_position_embeddings=12)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=24)
    pictures = ViTImageProcessorPil(size={"height": 32, "width": 32})
    return VisionTextDualEncoderModel(config), VisionTextDualEncoderProcessor(pictures, tokenizer(12))


@pytest.fixture(params=[clip, siglip, dual], ids=lambda make: make.__name__)
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any, Path]:
    """A model, its processor, and the folder in which both are saved."""
    torch.manual_seed(0)
    model, processor = request.param()
    folder = tmp_path / "checkpoint"
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor, folder


def pictures() -> list[Image.Image]:
    """Two random pictures of different shapes."""
    random = np.random.default_rng(0)
    return [
        Image.fromarray(random.integers(0, 256, (h // 8, w // 8, 3), dtype=np.uint8)).resize((w, h))
        for h, w in ((96, 64), (48, 120))
    ]


def test_the_bundle_gives_the_checkpoint_s_own_vectors(checkpoint: tuple[Any, Any, Path], tmp_path: Path) -> None:
    model, processor, folder = checkpoint
    target = import_checkpoint(str(folder), tmp_path / "bundle", name="imported")
    assert Bundle.open(target).verify() == []
    runtime = open_autoglm.load(target)
    assert (runtime.name, runtime.views) == ("imported", 1)

    padding = "max_length" if isinstance(model, SiglipModel) else True
    batch = processor(text=TEXTS, images=pictures(), padding=padding, max_length=12, return_tensors="pt")
    with torch.no_grad():
        output = model(
            input_ids=batch["input_ids"],
            pixel_values=batch["pixel_values"],
            attention_mask=None if padding == "max_length" else batch["attention_mask"],
        )
    for wanted, got, allowed in (
        (output.image_embeds, runtime.embed_images(pictures()), 5e-4),  # resizing may round a pixel differently
        (output.text_embeds, runtime.embed_texts(TEXTS), 1e-5),
    ):
        unit = torch.nn.functional.normalize(wanted, dim=-1).numpy()
        assert np.abs(unit - got).max() < allowed


def test_an_imported_model_can_be_searched_and_never_cuts(checkpoint: tuple[Any, Any, Path], tmp_path: Path) -> None:
    runtime = open_autoglm.load(import_checkpoint(str(checkpoint[2]), tmp_path / "bundle"))
    assert runtime.cutoff(runtime.embed_texts(["dog"])).tolist() == [-1.0]
    assert sum(runtime.classify(pictures()[0], ["dog", "cat"]).values()) == pytest.approx(1)


def test_what_cannot_be_imported_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    bert = tmp_path / "bert"
    BertModel(BertConfig(**TOWER, vocab_size=10)).save_pretrained(bert)
    with pytest.raises(BundleError, match="is a bert checkpoint; what can be imported is: clip"):
        import_checkpoint(str(bert), tmp_path / "bundle")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BundleError, match="cannot be read as a Hugging Face checkpoint"):
        import_checkpoint(str(empty), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
