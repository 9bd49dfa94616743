"""What the tests of training share: a tiny random model, drawn pictures with captions, and a recipe for both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from data_parts import draw_folder, write_csv
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, PreTrainedTokenizerFast

from open_autoglm.modeling import (
    EfficientNetLiteConfig,
    OpenAutoGLM,
    OpenAutoGLMConfig,
    OpenAutoGLMImageProcessor,
    OpenAutoGLMProcessor,
)
from open_autoglm.training.reading import parse_recipe
from open_autoglm.training.recipe import Recipe

COLOURS = ("red", "green", "blue", "white", "black", "grey")
THINGS = ("apple", "shoe", "cup", "chair", "lamp", "book")
SIZE = 32


def tokenizer() -> PreTrainedTokenizerFast:
    """Knows the words of the captions."""
    words = ["[PAD]", "[UNK]", "a", "photo", "of", *COLOURS, *THINGS]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]", eos_token="[UNK]", model_max_length=16
    )


def tiny_model(folder: Path, **changes: Any) -> str:
    """A directory with a random model of a few thousand weights and its processor."""
    torch.manual_seed(0)
    text = BertConfig(
        vocab_size=20, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16,
    )  # fmt: skip
    settings: dict[str, Any] = {
        "vision_config": EfficientNetLiteConfig(width=0.25, depth=0.25, hidden_size=64),
        "text_config": text,
        "projection_dim": 16,
        "max_text_tokens": 16,
        "logit_scale": 14.3,
    }
    OpenAutoGLM(OpenAutoGLMConfig(**(settings | changes))).save_pretrained(folder)
    pictures = OpenAutoGLMImageProcessor(
        height=SIZE, width=SIZE, resize="squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)
    )
    OpenAutoGLMProcessor(pictures, tokenizer()).save_pretrained(folder)
    return str(folder)


def pictures_csv(folder: Path, count: int = 24) -> str:
    """A table of drawn pictures, each with a caption of its own as far as there are words."""
    folder.mkdir(parents=True, exist_ok=True)
    captions = [f"a photo of a {COLOURS[n % 6]} {THINGS[(n // 6 + n) % 6]}" for n in range(count)]
    rows = [["image", "caption"], *zip(draw_folder(folder, count), captions, strict=True)]
    return write_csv(folder / "pictures.csv", rows)


def content(folder: Path, **changes: Any) -> dict[str, Any]:
    """A recipe as its YAML says it: 6 steps of 4 pairs over two epochs; ``changes`` by section."""
    made: dict[str, Any] = {
        "name": "tiny",
        "model": {"start": str(folder / "start")},
        "data": {"train": {"path": str(folder / "pictures.csv")}, "validation_share": 0.0},
        "optimisation": {"learning_rate": 1e-3, "batch_size": 8, "chunk": None, "epochs": 2, "warmup": 0},
        "output": {"folder": str(folder / "runs"), "log_every": 1, "checkpoint_minutes": 1e9},
    }
    for section, values in changes.items():
        made[section] = made.get(section, {}) | values if isinstance(values, dict) else values
    return made


def recipe(folder: Path, **changes: Any) -> Recipe:
    """The same, read."""
    return parse_recipe(content(folder, **changes), "a test")


def write_recipe(folder: Path, **changes: Any) -> Path:
    """The same, as a file."""
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(content(folder, **changes)), encoding="utf-8")
    return path


def prepare_folder(folder: Path, count: int = 24, **changes: Any) -> Path:
    """A folder with pictures and a model to start from."""
    pictures_csv(folder, count)
    tiny_model(folder / "start", **changes)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a model to start from, for all tests of a file."""
    return prepare_folder(tmp_path_factory.mktemp("training"))
