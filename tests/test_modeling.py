"""The PyTorch side: Hugging Face loading and saving, the picture tower, and agreement with the runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoProcessor, BertConfig, CLIPVisionConfig, ViTConfig

import open_autoglm
from open_autoglm.bundle import shipped_folder
from open_autoglm.modeling import EfficientNetLiteConfig, OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor
from open_autoglm.modeling.efficientnet_lite import Convolution
from open_autoglm.modeling.vision import grid_pool
from open_autoglm.weights import Weights, write_weights

SAMPLES = sorted((Path(__file__).parent.parent / "samples").glob("*/*.jpg"))[:4]
TEXTS = ["a photo of a lemon", "two shoes on the floor beside a bag"]
SMALL_BERT = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
TOWER = SMALL_BERT | {"image_size": 64}


def small(**changes: object) -> OpenAutoGLM:
    """A random model of a few thousand weights."""
    torch.manual_seed(0)
    settings = {
        "vision_config": EfficientNetLiteConfig(width=0.25, depth=0.25, hidden_size=64),
        "text_config": BertConfig(vocab_size=100, **SMALL_BERT),
        "projection_dim": 16,
    }
    return OpenAutoGLM(OpenAutoGLMConfig(**(settings | changes))).eval()


def test_the_shipped_bundle_gives_the_runtime_s_vectors_in_torch() -> None:
    model = OpenAutoGLM.from_pretrained("open-autoglm-base").eval()
    processor = AutoProcessor.from_pretrained(shipped_folder() / "open-autoglm-base")
    assert isinstance(processor, OpenAutoGLMProcessor)
    batch = processor(text=TEXTS, images=[str(path) for path in SAMPLES], padding=True, return_tensors="pt")
    with torch.no_grad():
        output = model.align(batch["pixel_values"], batch["input_ids"], batch["attention_mask"])
    runtime = open_autoglm.load(precision="fp32")
    assert np.allclose(output.image_embeds.numpy(), runtime.embed_images(SAMPLES), atol=1e-4)
    assert np.allclose(output.text_embeds.numpy(), runtime.embed_texts(TEXTS), atol=1e-4)
    assert output.logits_per_image.shape == (len(SAMPLES), len(TEXTS))


@pytest.mark.parametrize("load", [OpenAutoGLM, AutoModel])
def test_save_and_load_keep_every_tensor(tmp_path: Path, load: type) -> None:
    model = small(image_head="concepts", concepts=10)
    model.save_pretrained(tmp_path)
    again = load.from_pretrained(tmp_path)
    assert isinstance(again, OpenAutoGLM)
    assert all(torch.equal(tensor, again.state_dict()[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    ("vision", "pooling"),
    [
        (ViTConfig(**TOWER), "pooler"),
        (CLIPVisionConfig(**TOWER), "pooler"),
        (EfficientNetLiteConfig(width=0.25, depth=0.25, hidden_size=64), "map"),
    ],
)
def test_any_hugging_face_picture_tower_fits(vision: object, pooling: str) -> None:
    model = small(vision_config=vision, image_pooling=pooling)
    with torch.no_grad():
        vectors = model.get_image_features(torch.randn(2, 3, 64, 64))
    assert vectors.shape == (2, 16)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(2), atol=1e-5)


def test_gradients_reach_both_towers() -> None:
    model = small().train()
    output = model.align(torch.randn(2, 3, 64, 64), torch.randint(0, 100, (2, 5)), torch.ones(2, 5, dtype=torch.long))
    output.logits_per_image.diagonal().sum().backward()
    assert model.vision.tower.stem.conv.weight.grad.abs().sum() > 0
    assert model.text.tower.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_padding_does_not_change_a_sentence() -> None:
    model = small()
    tokens, mask = torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.long)
    padded = torch.tensor([[5, 6, 7, 0, 0]])
    with torch.no_grad():
        alone = model.get_text_features(tokens, mask)
        beside = model.get_text_features(padded, torch.tensor([[1, 1, 1, 0, 0]]))
    assert torch.allclose(alone, beside, atol=1e-5)


def test_a_norm_that_is_folded_gives_the_same_maps_and_gradients() -> None:
    layer = Convolution(4, 6, kernel=3, stride=2, groups=1, eps=1e-3, act=True)
    torch.nn.init.normal_(layer.norm.running_mean)
    torch.nn.init.uniform_(layer.norm.running_var, 0.5, 2.0)
    pictures = torch.randn(2, 4, 8, 8)
    apart = layer.act(layer.eval().norm(layer.conv(layer.pad(pictures))))
    together = layer(pictures)
    assert torch.allclose(together, apart, atol=1e-5)
    weights = list(layer.parameters())
    for one, other in zip(
        *(torch.autograd.grad(out.square().sum(), weights) for out in (together, apart)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-3)


def test_a_picture_s_vectors_come_from_its_sizes_and_regions_know_the_whole() -> None:
    model = small(whole_sizes=[32, 64], region_grids=[[96, 3], [64, 2]], region_context=0.5)
    pixels = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        views = model.get_image_views(pixels)
        whole, regions = model.vision(pixels)
        vectors = F.normalize(model.image_head(torch.cat([whole, regions], dim=1)), dim=-1)
    assert (whole.shape[1], regions.shape[1], model.config.views) == (2, 13, 14)
    middle = F.normalize(vectors[:, :2].mean(dim=1), dim=-1)
    assert torch.allclose(views[:, 0], middle, atol=1e-6)
    assert torch.allclose(views[:, 1:], F.normalize(vectors[:, 2:] + 0.5 * middle[:, None], dim=-1), atol=1e-6)
    assert torch.allclose(model.get_image_features(pixels), middle, atol=1e-6)


def test_concepts_are_two_halves_that_count_alike() -> None:
    model = small(image_head="concepts", text_head="concepts", concepts=10, concept_top_k=3, appearance_dim=6)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    with torch.no_grad():
        picture = model.get_image_features(torch.randn(1, 3, 64, 64))[0]
        sentence = model.get_text_features(torch.tensor([[5, 6, 7]]))[0]
    for vector in (picture, sentence):
        assert vector[:10].square().sum() == pytest.approx(0.5, abs=1e-4)
        assert vector[10:].square().sum() == pytest.approx(0.5, abs=1e-4)


def test_regions_are_the_cells_of_the_map_row_by_row() -> None:
    features = torch.arange(36.0).reshape(1, 1, 6, 6)
    cells = grid_pool(features, 3)[0, :, 0]
    assert cells.tolist() == [features[0, 0, y : y + 2, x : x + 2].mean() for y in (0, 2, 4) for x in (0, 2, 4)]


def test_packed_weights_come_back_close_and_a_quarter_the_size(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    state = {
        "matrix": random.standard_normal((300, 200), dtype=np.float32),
        "kernel": random.standard_normal((8, 4, 3, 3), dtype=np.float32),
        "bias": random.standard_normal(300, dtype=np.float32),
        "scalar": np.asarray(2.5, np.float32),
        "zeros": np.zeros((3, 4), np.float32),
    }
    write_weights(tmp_path / "packed", state, packed=True)
    write_weights(tmp_path / "plain", state, packed=False)
    packed, plain = Weights(tmp_path / "packed"), Weights(tmp_path / "plain")
    assert list(packed) == list(plain) == sorted(state)
    for name, tensor in state.items():
        assert np.array_equal(plain.float32(name), tensor)
        assert packed.float32(name).shape == tensor.shape
        step = np.abs(tensor).max() / 127
        assert np.abs(packed.float32(name) - tensor).max() <= step / 2 + 1e-3
    assert (tmp_path / "packed").stat().st_size < 0.3 * (tmp_path / "plain").stat().st_size


def test_whole_and_regions_of_one_size_come_from_one_pass_of_the_tower() -> None:
    for whole_sizes, passes in (([], 1), ([96], 1), ([64], 2), ([64, 96], 2)):
        config = OpenAutoGLMConfig(
            vision_config=EfficientNetLiteConfig(width=0.25, depth=0.25, hidden_size=64),
            text_config=BertConfig(vocab_size=20, hidden_size=32, num_hidden_layers=1, num_attention_heads=2),
            region_grids=[[96, 3]],
            whole_sizes=whole_sizes,
        )
        model, seen = OpenAutoGLM(config).eval(), []
        model.vision.tower.register_forward_hook(lambda _module, _given, _found, seen=seen: seen.append(1))
        views = model.get_image_views(torch.randn(2, 3, 96, 96))
        assert views.shape[1] == 10 and len(seen) == passes
