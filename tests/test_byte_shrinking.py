"""Pictures of bytes made smaller by convolutions: the same picture as PyTorch makes, in whole numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from open_autoglm.compression.byte_shrinking import shrink
from open_autoglm.compression.static_int8 import StaticSettings, static_int8

PHOTO = next((Path(__file__).parent.parent / "samples").glob("*/*.jpg"))
Size = tuple[int, int]


def resizing(before: Size, after: Size) -> onnx.ModelProto:
    """Bytes, turned and resized as bytes."""
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Shape", ["turned"], ["first"], start=0, end=2),
        helper.make_node("Concat", ["first", "size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["turned", "", "", "sizes"], ["resized"], mode="linear", antialias=1),
    ]
    graph = helper.make_graph(
        nodes,
        "resizing",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *before, 3])],
        [helper.make_tensor_value_info("resized", TensorProto.UINT8, ["n", 3, *after])],
        [numpy_helper.from_array(np.array(after), "size")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def pictures(size: Size) -> NDArray[np.uint8]:
    """A photo, and noise."""
    height, width = size
    photo = np.asarray(Image.open(PHOTO).convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.stack([photo, noise])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((512, 512), (384, 384)),
        ((512, 512), (224, 224)),
        ((96, 160), (72, 100)),
        ((60, 90), (15, 50)),
        ((40, 48), (40, 24)),
        ((63, 62), (62, 61)),
    ],
)
def test_convolutions_shrink_as_pytorch_does(before: Size, after: Size) -> None:
    proto, pixels = resizing(before, after), pictures(before)
    assert shrink(proto.graph, "pixels", proto.graph.node[3], before, after)
    assert "Resize" not in {node.op_type for node in proto.graph.node}
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found = session.run(None, {"pixels": pixels})[0]
    floats = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    wanted = torch.nn.functional.interpolate(floats, size=after, mode="bilinear", antialias=True).numpy()
    apart = np.abs(found - wanted)
    inner = apart[:, :, 4:-4, 4:-4]  # the filter is cut at the rim
    assert inner.max() <= 1 and inner.mean() < 0.35  # rounded twice
    assert apart[0].max() < 40 and apart[0].mean() < 0.5


@pytest.mark.parametrize(
    ("before", "after"), [((60, 60), (61, 60)), ((60, 61), (60, 67)), ((500, 500), (250, 333))], ids=str
)
def test_what_convolutions_of_bytes_cannot_do_stays_a_resize(before: Size, after: Size) -> None:
    proto = resizing(before, after)
    content = proto.SerializeToString()
    assert not shrink(proto.graph, "pixels", proto.graph.node[3], before, after)
    assert proto.SerializeToString() == content


def looking_twice(after: Size, antialias: int) -> onnx.ModelProto:
    """Pixels normalised, seen by one layer as they are and at another size."""
    random, before = np.random.default_rng(0), (96, 96)
    constants = {
        "scale": np.full((3, 1, 1), 1 / 128, np.float32),
        "shift": np.full((3, 1, 1), 127 / 128, np.float32),
        "size": np.array(after),
        "weights": random.normal(size=(16, 3, 3, 3)).astype(np.float32),
        "axes": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["turned"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "shift"], ["normalised"]),
        helper.make_node("Shape", ["normalised"], ["first"], start=0, end=2),
        helper.make_node("Concat", ["first", "size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["normalised", "", "", "sizes"], ["small"], mode="linear", antialias=antialias),
        helper.make_node("Conv", ["normalised", "weights"], ["large_map"], "large_layer"),
        helper.make_node("Conv", ["small", "weights"], ["small_map"], "small_layer"),
        helper.make_node("ReduceMax", ["large_map", "axes"], ["large_vector"], keepdims=0),
        helper.make_node("ReduceMax", ["small_map", "axes"], ["small_vector"], keepdims=0),
        helper.make_node("Concat", ["large_vector", "small_vector"], ["vectors"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "looking",
        [helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", *before, 3])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("after", "antialias", "resizes"), [((72, 60), 1, 0), ((72, 60), 0, 1), ((120, 96), 1, 1)], ids=str
)
def test_a_graph_in_int8_shrinks_its_bytes_where_it_can(after: Size, antialias: int, resizes: int) -> None:
    proto, inputs = looking_twice(after, antialias), [{"pixels": one[None]} for one in pictures((96, 96))]
    made = static_int8(proto, inputs, StaticSettings(least_cosine=0.995))
    assert made.cosine >= 0.995 and made.left == ()
    counted = Counter(node.op_type for node in made.proto.graph.node)
    assert counted["Resize"] == resizes and counted["Cast"] == 0
    floats = {node.output[0] for node in made.proto.graph.node if node.op_type == "DequantizeLinear"}
    assert not any(node.input[0] in floats for node in made.proto.graph.node if node.op_type == "Shape")
