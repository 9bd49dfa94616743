"""Graphs of sentences: attention joined into one step, where that says the same, and taken apart for other engines."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import nn
from transformers import BertConfig, CLIPTextConfig, PreTrainedConfig
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask

from open_autoglm.bundle import Bundle
from open_autoglm.compression.export import export_text
from open_autoglm.compression.folding import inlined
from open_autoglm.compression.quantize import dynamic_int8
from open_autoglm.modeling import EfficientNetLiteConfig, OpenAutoGLM, OpenAutoGLMConfig
from open_autoglm.modeling.narrow_bert import NarrowBertConfig
from open_autoglm.runtime.engines.joined import taken_apart
from open_autoglm.runtime.engines.onnx_runtime import open_session
from open_autoglm.runtime.model import load

SIZES = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
IDS = np.array([[5, 17, 44, 9, 61], [8, 3, 0, 0, 0]])
MASK = (IDS > 0).astype(np.int64)
LEAST = 0.97
TEXTS = ["a red apple on a table", "dog", "two people in the snow, seen from behind"]


def model_of(text: PreTrainedConfig, **changes: object) -> OpenAutoGLM:
    """A random model with a text tower, whose heads look at words more than at chance."""
    torch.manual_seed(0)
    vision = EfficientNetLiteConfig(width=0.25, depth=0.25, hidden_size=64)
    model = OpenAutoGLM(OpenAutoGLMConfig(vision_config=vision, text_config=text, projection_dim=16, **changes)).eval()
    for module in model.text.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.2)
    return model


def outputs(proto: onnx.ModelProto, mask: NDArray[np.int64] = MASK) -> NDArray[np.float32]:
    """Vectors of the two sentences."""
    vectors: NDArray[np.float32] = open_session(proto.SerializeToString(), 1).run(
        ["vectors"], {"input_ids": IDS, "attention_mask": mask}
    )[0]
    return vectors


def operations(proto: onnx.ModelProto) -> Counter[str]:
    """How many steps of each kind a graph has."""
    return Counter(node.op_type for node in proto.graph.node)


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of unit vectors [n, d]."""
    found: NDArray[np.float32] = (one * other).sum(axis=-1)
    return found


@pytest.mark.parametrize(
    ("text", "heads"),
    [
        (BertConfig(intermediate_size=128, **SIZES), [4, 4]),
        (NarrowBertConfig(layer_heads=[1, 3], layer_widths=[32, 48], intermediate_size=128, **SIZES), [1, 3]),
    ],
)
def test_every_attention_among_words_becomes_one_step(text: PreTrainedConfig, heads: list[int]) -> None:
    model = model_of(text)
    proto = export_text(model).proto
    assert not proto.graph.value_info
    made = dynamic_int8(proto)
    onnx.checker.check_model(made)
    joined = [node for node in made.graph.node if node.op_type == "QAttention"]
    assert [node.attribute[0].i for node in joined] == heads
    assert not {"Softmax", "Transpose"} & operations(made).keys()
    with torch.no_grad():
        wanted = model.text_side(torch.from_numpy(IDS), torch.from_numpy(MASK)).whole.numpy()
    assert np.allclose(outputs(proto), wanted, atol=1e-5)
    assert cosines(outputs(made), wanted).min() > LEAST
    # What is told to be missing is not looked at.
    assert cosines(outputs(made, np.ones_like(MASK)), outputs(made))[1] < 0.97


def test_a_mask_that_says_more_than_which_words_there_are_stays_in_steps_of_its_own() -> None:
    model = model_of(CLIPTextConfig(intermediate_size=128, eos_token_id=9, **SIZES), text_pooling="mean")
    proto = export_text(model).proto  # each word sees only those before it
    made = dynamic_int8(proto)
    assert "QAttention" not in operations(made) and operations(made)["MatMulInteger"] == 13  # six a layer, and the head
    with torch.no_grad():
        wanted = model.text_side(torch.from_numpy(IDS), torch.from_numpy(MASK)).whole.numpy()
    assert np.allclose(outputs(proto), wanted, atol=1e-5)
    assert cosines(outputs(made), wanted).min() > LEAST


def test_layers_that_look_at_other_words_are_not_joined() -> None:
    proto = export_text(model_of(BertConfig(intermediate_size=128, **SIZES))).proto
    first = next(node for node in proto.graph.node if node.op_type == "MatMul")
    place = list(proto.graph.node).index(first)
    proto.graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "half"))
    proto.graph.node.insert(place, helper.make_node("Mul", [first.input[0], "half"], ["elsewhere"]))
    first.input[0] = "elsewhere"
    made = dynamic_int8(proto)
    assert operations(made)["QAttention"] == 1 and operations(made)["Softmax"] == 1
    assert cosines(outputs(made), outputs(proto)).min() > LEAST


def test_the_head_stays_in_float_and_weights_have_no_zero_points() -> None:
    bundle = Bundle.open("open-autoglm-base")
    graph = onnx.load(bundle.path / "onnx" / "text.int8.onnx", load_external_data=False).graph
    assert {len(node.input) for node in graph.node if node.op_type == "MatMulInteger"} == {3}
    counted = Counter(node.op_type for node in graph.node)
    assert counted["QAttention"] == 6 and counted["MatMulInteger"] == 18 and counted["MatMul"] == 5
    weights = bundle.graph("text", "int8").weights
    assert not any(weights[name].stored for name in weights if weights[name].tensor.startswith("text_head."))


def test_engines_without_the_step_give_the_same() -> None:
    bundle = Bundle.open("open-autoglm-base")
    graph = bundle.graph("text", "int8")
    apart = taken_apart(inlined(bundle, graph))
    onnx.checker.check_model(apart)
    assert {node.domain for node in apart.graph.node} <= {""} and operations(apart)["Softmax"] == 6
    plain = taken_apart(inlined(bundle, bundle.graph("text", "fp32")))
    assert not plain.functions
    ours, theirs = (load(engine=engine, precision="int8") for engine in ("onnxruntime", "openvino"))
    assert cosines(ours.embed_texts(TEXTS), theirs.embed_texts(TEXTS)).min() > 0.995


def test_an_export_leaves_the_masks_of_the_library_as_they_were() -> None:
    assert ALL_MASK_ATTENTION_FUNCTIONS["eager"] is eager_mask
    export_text(model_of(BertConfig(intermediate_size=128, **SIZES)))
    assert ALL_MASK_ATTENTION_FUNCTIONS["eager"] is eager_mask
