"""Pruned towers are smaller in fact, stay close to the full model, are saved and exported, and recover."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_parts import one_thread as one_thread
from training_parts import folder as folder
from training_parts import tiny_model
from transformers import BertConfig, ViTConfig

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.bundling import make_bundle
from open_autoglm.compression.pruning import (
    Calibration,
    Curve,
    Distillation,
    Plan,
    Scan,
    Step,
    distil,
    plan_for,
    prune,
    prune_weights,
    sensitivity,
)
from open_autoglm.compression.pruning.least_squares import Moments, Reduction
from open_autoglm.compression.pruning.magnitude import tower_weights
from open_autoglm.errors import SettingError, TrainingError
from open_autoglm.modeling import OpenAutoGLM, OpenAutoGLMConfig, OpenAutoGLMProcessor

SAMPLES = [str(path) for path in sorted((Path(__file__).parent.parent / "samples").glob("*/*.jpg"))]
SENTENCES = ["a photo of a red apple", "a blue shoe", "green chair", "a photo of a white lamp", "book", "a black cup"]
PLAN = Plan({"vision.blocks.1": 32, "vision.blocks.3": 32, "text.layers.0.heads": 2, "text.layers.1.feed_forward": 32})
BERT = BertConfig(
    vocab_size=20, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
    max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
)  # fmt: skip


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("pruning") / "start", text_config=BERT)


@pytest.fixture(scope="module")
def model(start: str) -> OpenAutoGLM:
    return OpenAutoGLM.from_pretrained(start).eval()


@pytest.fixture(scope="module")
def processor(start: str) -> OpenAutoGLMProcessor:
    return OpenAutoGLMProcessor.from_pretrained(start)


@pytest.fixture(scope="module")
def calibration(model: OpenAutoGLM, processor: OpenAutoGLMProcessor) -> Calibration:
    return Calibration.of(processor, model.config, SAMPLES[:24], SENTENCES, sizes=(32, 64), batch=6)


@pytest.fixture(scope="module")
def pruned(model: OpenAutoGLM, calibration: Calibration) -> OpenAutoGLM:
    return prune(model, PLAN, calibration)


def closeness(one: OpenAutoGLM, other: OpenAutoGLM, calibration: Calibration) -> tuple[float, float]:
    """Mean cosine of two models' vectors of the calibration's pictures, and of its sentences."""
    with torch.no_grad():
        pictures = [
            F.cosine_similarity(*(m.get_image_features(b) for m in (one, other))) for (b,) in calibration.pictures
        ]
        texts = [F.cosine_similarity(*(m.get_text_features(*b) for m in (one, other))) for b in calibration.sentences]
    return float(torch.cat(pictures).mean()), float(torch.cat(texts).mean())


def test_units_are_gone_and_the_rest_makes_up_for_them(
    model: OpenAutoGLM, pruned: OpenAutoGLM, calibration: Calibration
) -> None:
    tower, layer = pruned.vision.tower, pruned.text.tower.encoder.layer
    assert tower.blocks[1].depthwise.conv.weight.shape[0] == 32
    assert tower.blocks[1].expand.conv.weight.shape[0] == tower.blocks[1].project.conv.weight.shape[1] == 32
    assert layer[0].attention.self.query.weight.shape == (16, 32) and layer[1].output.dense.weight.shape == (32, 32)
    assert count(tower) < count(model.vision.tower) and count(pruned.text.tower) < count(model.text.tower)
    pictures, texts = closeness(model, pruned, calibration)
    assert pictures > 0.99 and texts > 0.98
    cut = closeness(model, cut_off(model, pruned), calibration)
    assert cut[1] < texts, "the same heads and units cut off without a fit lose more"


def count(module: torch.nn.Module) -> int:
    """Its parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def cut_off(model: OpenAutoGLM, pruned: OpenAutoGLM) -> OpenAutoGLM:
    """The model with as many heads and units of the text tower set to zero as the pruned one lacks: the last ones."""
    cut = copy.deepcopy(model)
    layer = cut.text.tower.encoder.layer
    with torch.no_grad():
        layer[0].attention.output.dense.weight[:, 16:] = 0
        layer[1].output.dense.weight[:, 32:] = 0
    return cut


def test_a_pruned_model_is_saved_and_loaded_and_can_be_pruned_again(
    pruned: OpenAutoGLM, calibration: Calibration, tmp_path: Path
) -> None:
    pruned.save_pretrained(tmp_path)
    again = OpenAutoGLM.from_pretrained(tmp_path).eval()
    assert closeness(pruned, again, calibration) == pytest.approx((1, 1), abs=1e-6)
    twice = prune(again, Plan({"vision.blocks.3": 16, "text.layers.0.heads": 1}), calibration)
    assert count(twice) < count(pruned) and twice.config.text_config.layer_heads == [1, 4]


def test_a_pruned_model_becomes_a_bundle_that_the_runtime_opens(
    pruned: OpenAutoGLM, processor: OpenAutoGLMProcessor, tmp_path: Path
) -> None:
    folder = make_bundle(pruned, processor, tmp_path / "pruned", "pruned")
    vectors = open_autoglm.Model(Bundle.open(folder)).embed_images(SAMPLES[:4])
    with torch.no_grad():
        wanted = pruned.get_image_features(processor.image_processor(SAMPLES[:4], return_tensors="pt")["pixel_values"])
    assert np.allclose(vectors, wanted.numpy(), atol=1e-4)


def zeros(model: OpenAutoGLM) -> float:
    """The share of zeros among the towers' matrices."""
    weights = torch.cat([weight.flatten() for weight in tower_weights(model)])
    return float((weights == 0).float().mean())


def test_a_residual_block_goes_as_a_whole(calibration: Calibration, start: str, tmp_path: Path) -> None:
    deep = tiny_model(
        tmp_path / "deep", text_config=BERT, vision_config={"model_type": "efficientnet_lite", "width": 0.25,
        "depth": 0.5, "hidden_size": 64},
    )  # fmt: skip
    model = OpenAutoGLM.from_pretrained(deep).eval()
    place = next(place for place, block in enumerate(model.vision.tower.blocks) if block.residual)
    pruned = prune(model, Plan({f"vision.blocks.{place}": 0}), calibration)
    pruned.save_pretrained(tmp_path / "gone")
    again = OpenAutoGLM.from_pretrained(tmp_path / "gone").eval()
    assert not any(name.startswith(f"vision.tower.blocks.{place}.") for name in again.state_dict())
    assert closeness(pruned, again, calibration)[0] == pytest.approx(1, abs=1e-6)
    assert closeness(model, pruned, calibration)[0] > 0.9


def test_what_the_others_can_say_goes_first_and_nothing_is_lost() -> None:
    torch.manual_seed(0)
    free = torch.randn(500, 6)
    inputs = torch.cat([free, free[:, :2] + free[:, 2:4]], dim=1)  # of 8 inputs, 2 follow from the others
    weight = torch.randn(3, 8)
    moments = Moments(8, 3)
    moments.add(inputs, inputs @ weight.T)
    fit = Reduction(moments, weight, size=1, ridge=1e-9).fits([6])[6]
    assert len(fit.kept) == 6
    assert torch.allclose(inputs[:, fit.kept] @ fit.weight.T + fit.bias, inputs @ weight.T, atol=1e-3)


def test_a_scan_tells_what_each_stage_costs_and_a_plan_keeps_to_its_share(
    model: OpenAutoGLM, calibration: Calibration
) -> None:
    scan = sensitivity(model, "text", calibration, calibration, shares=(0.25, 0.5, 0.75))
    names = [curve.name for curve in scan.curves]
    assert names == [f"text.layers.{number}.{part}" for number in (0, 1) for part in ("heads", "feed_forward")]
    assert all(curve.steps[0].loss == 0 <= curve.steps[-1].loss for curve in scan.curves)
    plan = plan_for(scan, 0.3)
    pruned = prune(model, plan, calibration)
    full, less = (count(one.text.tower.encoder) for one in (model, pruned))
    assert 0.25 < 1 - less / full < 0.45


def test_a_plan_takes_what_costs_least() -> None:
    curves = (
        Curve("vision.dear", 64, 16, 10, 1.0, (Step(64, 0.0), Step(32, 0.5))),
        Curve("vision.cheap", 64, 16, 10, 1.0, (Step(64, 0.0), Step(32, 0.01), Step(0, 0.02))),
    )
    scan = Scan("vision", 1280, curves)
    assert plan_for(scan, 0.25).widths == {"vision.cheap": 32}
    assert plan_for(scan, 0.6).widths == {"vision.cheap": 0, "vision.dear": 48}
    with pytest.raises(SettingError, match=r"^Only 75% of the parameters of vision can be taken away, not 90%\.$"):
        plan_for(scan, 0.9)


def test_a_student_learns_what_its_teacher_gives_and_its_zeros_stay(
    model: OpenAutoGLM, calibration: Calibration
) -> None:
    sparse = prune_weights(model, 0.7)
    before = closeness(model, sparse, calibration)
    learned = distil(sparse, model, calibration, Distillation(steps=60, learning_rate=1e-3, size=32))
    after = closeness(model, learned, calibration)
    assert after[0] > before[0] and after[1] > before[1]
    assert zeros(learned) == zeros(sparse) == pytest.approx(0.7, abs=0.001)


def test_a_distillation_that_was_broken_off_goes_on_as_it_was(
    model: OpenAutoGLM, pruned: OpenAutoGLM, calibration: Calibration, tmp_path: Path
) -> None:
    settings = Distillation(steps=4, size=32, save_every=2)
    whole = distil(pruned, model, calibration, settings).state_dict()

    def stop(step: int, losses: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        distil(pruned, model, calibration, settings, tmp_path, stop)
    seen: list[int] = []
    resumed = distil(pruned, model, calibration, settings, tmp_path, lambda step, _: seen.append(step)).state_dict()
    assert seen == [3, 4]
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in whole.items())
    with pytest.raises(TrainingError, match="other settings"):
        distil(pruned, model, calibration, Distillation(steps=5, size=32), tmp_path)


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan({}), r"^The plan prunes nothing"),
        (
            Plan({"vision.blocks.99": 8}),
            r"^The plan prunes vision\.blocks\.99, and the model has only vision\.blocks\.0,",
        ),
        (Plan({"audio.blocks.0": 8}), r"^A model has no tower audio: it has vision and text\.$"),
        (Plan({"vision.blocks.1": 0}), r"^vision\.blocks\.1 cannot keep 0 units: it keeps 1 to 48 of them\.$"),
        (Plan({"vision.head": 3}), r"^vision\.head cannot keep 3 units"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    model: OpenAutoGLM, calibration: Calibration, plan: Plan, sentence: str
) -> None:
    with pytest.raises(SettingError, match=sentence):
        prune(model, plan, calibration)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, 30])
def test_a_share_that_is_none_is_refused(model: OpenAutoGLM, calibration: Calibration, share: float) -> None:
    with pytest.raises(SettingError, match="between 0 and 1"):
        plan_for(Scan("vision", 1, ()), share)
    with pytest.raises(SettingError, match="between 0 and 1"):
        sensitivity(model, "text", calibration, calibration, shares=(share,))


def test_what_cannot_be_pruned_and_an_empty_calibration_are_refused(
    model: OpenAutoGLM, calibration: Calibration
) -> None:
    vit = ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32)
    other = OpenAutoGLM(OpenAutoGLMConfig(vision_config=vit, text_config=BERT, image_pooling="pooler"))
    with pytest.raises(SettingError, match=r"^A picture tower of the kind vit cannot be pruned"):
        prune(other, Plan({"vision.blocks.1": 32}), calibration)
    with pytest.raises(SettingError, match=r"^There are no pictures to calibrate on"):
        prune(model, Plan({"vision.blocks.1": 32}), Calibration())
    with pytest.raises(SettingError, match=r"^There is nothing to learn on"):
        distil(model, model, Calibration())
