"""Checkpoints of other kinds become bundles whose vectors are those of the checkpoint."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPImageProcessorPil,
    CLIPModel,
    CLIPProcessor,
    PreTrainedTokenizerFast,
    RobertaConfig,
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
from open_autoglm.bundle import Bundle, Graph, shipped_folder
from open_autoglm.compression import bundling, importing
from open_autoglm.compression.importing import import_checkpoint
from open_autoglm.compression.parity import compared
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
    assert runtime.cutoff(runtime.embed_texts(["dog"])).tolist() == [-np.inf]
    assert sum(runtime.classify(pictures()[0], ["dog", "cat"]).values()) == pytest.approx(1)


def test_what_cannot_be_imported_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    bert = tmp_path / "bert"
    BertModel(BertConfig(**TOWER, vocab_size=10)).save_pretrained(bert)
    with pytest.raises(BundleError, match="is a bert checkpoint; what can be imported is: clip"):
        import_checkpoint(str(bert), tmp_path / "bundle")
    with pytest.raises(BundleError, match="empty"):
        import_checkpoint("", tmp_path / "bundle")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BundleError, match="cannot be read as a Hugging Face checkpoint"):
        import_checkpoint(str(empty), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """The folder of a CLIP that a test may damage."""
    torch.manual_seed(0)
    return save(*clip(), tmp_path / "checkpoint")


def save(model: Any, processor: Any, folder: Path) -> Path:
    """Writes a checkpoint."""
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def refused(folder: Path, sentence: str) -> None:
    """The checkpoint is refused with a sentence, and nothing is left."""
    target = folder.parent / "bundle"
    with pytest.raises(BundleError, match=sentence):
        import_checkpoint(str(folder), target)
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_checkpoint_that_lacks_tensors_is_refused(saved: Path) -> None:
    tensors = load_file(saved / "model.safetensors")
    del tensors["text_projection.weight"]
    save_file(tensors, saved / "model.safetensors", {"format": "pt"})
    refused(saved, "lacks 1 of its model's tensors, the first being text_projection.weight")


def test_a_cut_checkpoint_is_refused(saved: Path) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])
    refused(saved, "weights of .* cannot be read")


def test_pickled_weights_are_not_loaded(saved: Path) -> None:
    torch.save(load_file(saved / "model.safetensors"), saved / "pytorch_model.bin")
    (saved / "model.safetensors").unlink()
    refused(saved, "save it as safetensors")


def test_a_checkpoint_without_a_tokenizer_is_refused(saved: Path) -> None:
    (saved / "tokenizer.json").unlink()
    (saved / "tokenizer_config.json").unlink()
    refused(saved, "has no tokenizer")


def test_a_tokenizer_without_words_is_refused(saved: Path) -> None:
    empty = json.loads((saved / "tokenizer.json").read_text())
    empty["model"]["vocab"] = {word: number for number, word in enumerate(WORDS[:4])}
    (saved / "tokenizer.json").write_text(json.dumps(empty))
    refused(saved, "knows no word")


def test_an_unknown_way_of_resizing_is_refused(saved: Path) -> None:
    file = saved / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["image_processor"]["resample"] = 4
    file.write_text(json.dumps(settings))
    refused(saved, "resizes pictures by .*bicubic")


def test_a_checkpoint_whose_pictures_are_prepared_otherwise_is_refused(saved: Path) -> None:
    file = saved / "processor_config.json"
    settings = json.loads(file.read_text())
    settings["image_processor"]["rescale_factor"] = 1 / 127.5
    file.write_text(json.dumps(settings))
    refused(saved, "would embed pictures unlike its checkpoint")


def test_a_bundle_whose_sentences_differ_from_the_checkpoint_is_refused(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unprojected(*arguments: Any) -> Any:
        made = assemble(*arguments)
        torch.nn.init.normal_(made.text_head.weight)
        return made

    assemble = importing.assemble
    monkeypatch.setattr(importing, "assemble", unprojected)
    refused(saved, "would embed sentences unlike its checkpoint")


def test_what_exists_is_refused_before_the_checkpoint_is_read(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with pytest.raises(BundleError, match="exists already"):
        import_checkpoint(str(tmp_path / "no checkpoint"), tmp_path / "bundle")


def test_the_places_that_roberta_keeps_for_padding_are_not_used(tmp_path: Path) -> None:
    text = RobertaConfig(**TOWER, vocab_size=len(WORDS), max_position_embeddings=14, pad_token_id=1)
    vision = ViTConfig(**TOWER, image_size=32, patch_size=8)
    config = VisionTextDualEncoderConfig.from_vision_text_configs(vision, text, projection_dim=24)
    processor = VisionTextDualEncoderProcessor(ViTImageProcessorPil(size={"height": 32, "width": 32}), tokenizer(64))
    folder = save(VisionTextDualEncoderModel(config), processor, tmp_path / "checkpoint")
    runtime = open_autoglm.load(import_checkpoint(str(folder), tmp_path / "bundle"))
    assert runtime.bundle.manifest.preprocessing["text"]["max_tokens"] == 12
    assert runtime.embed_texts(["dog " * 100]).shape == (1, 24)


def test_no_more_tokens_are_used_than_the_tokenizer_allows() -> None:
    model, processor = clip()
    assert importing.token_limit(model, processor.tokenizer) == 12
    processor.tokenizer.model_max_length = 9
    assert importing.token_limit(model, processor.tokenizer) == 9


def test_the_space_follows_all_that_decides_a_vector_and_not_the_name(tmp_path: Path) -> None:
    bundle = Bundle.open(shutil.copytree(shipped_folder() / "open-autoglm-base", tmp_path / "copy"))
    settings = json.loads(json.dumps(bundle.manifest.preprocessing))

    def space() -> str:
        return bundling.space_id(bundle.path, settings)

    spaces = [space()]
    assert spaces[0] == bundle.manifest.space
    assert re.fullmatch("[0-9a-f]{16}", spaces[0])
    settings["text"]["template"] = "{}, seen from afar"
    config = json.loads((bundle.path / "config.json").read_text())
    for note in ({"transformers_version": "5.99"}, {"_name_or_path": "elsewhere"}):
        (bundle.path / "config.json").write_text(json.dumps(config | note))
        assert space() == spaces[0]
    settings["image"]["mean"][0] += 0.01
    spaces.append(space())
    settings["text"]["max_tokens"] -= 1
    spaces.append(space())
    config["text_config"]["hidden_act"] = "relu"
    (bundle.path / "config.json").write_text(json.dumps(config))
    spaces.append(space())
    with (bundle.path / "model.safetensors").open("ab") as opened:
        opened.write(b" ")
    spaces.append(space())
    tokenizer = json.loads((bundle.path / "tokenizer.json").read_text("utf-8"))
    (bundle.path / "tokenizer.json").write_text(json.dumps(tokenizer, indent=1), "utf-8")
    assert space() == spaces[-1]
    tokenizer["model"]["unk_token"] = "[MASK]"
    (bundle.path / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    spaces.append(space())
    assert len(set(spaces)) == len(spaces)


@pytest.mark.parametrize("side", ["image", "text"])
def test_a_graph_that_is_not_its_model_is_refused(saved: Path, monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    def other(model: Any, *arguments: Any) -> Any:
        changed = copy.deepcopy(model)
        torch.nn.init.normal_(getattr(changed, f"{side}_head").weight)
        return export(changed, *arguments)

    export = getattr(bundling, f"export_{side}")
    monkeypatch.setattr(bundling, f"export_{side}", other)
    refused(saved, f"graph onnx/{side}.fp32.onnx differs from its model")


def test_a_cell_that_sees_nothing_is_alike_in_graph_and_model_only_where_both_see_nothing() -> None:
    graph = Graph("onnx/cells.fp32.onnx", {}, {}, {})
    nothing, something = np.zeros((2, 3), np.float32), np.eye(2, 3, dtype=np.float32)
    seen = np.concatenate([nothing[:1], something[1:]])
    assert compared(seen, seen, graph)["lowest_cosine"] == 1
    with pytest.raises(BundleError, match=r"lowest cosine 0\.0000"):
        compared(seen, something, graph)
