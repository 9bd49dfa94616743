"""Int8 graphs: what they keep, what is refused, and what a machine without the instructions does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from open_autoglm.bundle import MANIFEST, WEIGHTS, Bundle, amend
from open_autoglm.compression import int8_bundle
from open_autoglm.compression.folding import folded, inlined
from open_autoglm.compression.int8_bundle import INT8_WEIGHTS, Checks, Int8Bundle, Int8Settings, quantise_bundle
from open_autoglm.compression.qdq import convolutions
from open_autoglm.compression.ranges import Histogram, RangeSettings, activation_ranges, mean_square, percentile
from open_autoglm.compression.static_int8 import StaticSettings, mean_cosine, outputs_of, static_int8
from open_autoglm.compression.weight_only import weight_only_int8
from open_autoglm.errors import BundleError, SettingError
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.runtime import model as runtime_model
from open_autoglm.runtime.engines.onnx_runtime import open_session
from open_autoglm.runtime.model import load
from open_autoglm.runtime.processor import NO_VNNI, lacks_vnni

SAMPLES = Path(__file__).parent.parent / "samples"
PICTURES = sorted(SAMPLES.glob("grocery/*.jpg"))
CHECKS = Checks(PICTURES[:3], PICTURES[4:8])
TASKS = ("image", "text")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Int8Bundle:
    """The grocery bundle with its pictures' and sentences' graphs in int8 beside the float ones."""
    settings = Int8Settings(tasks=TASKS, least_speedup=0)
    return quantise_bundle(
        Bundle.open("open-autoglm-grocery"), tmp_path_factory.mktemp("int8") / "both", CHECKS, settings
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Int8Bundle:
    """The same without the float graphs that are replaced."""
    settings = Int8Settings(
        static=StaticSettings(RangeSettings("minmax"), correct_bias=False), tasks=TASKS, least_speedup=0, only=True
    )
    return quantise_bundle(
        Bundle.open("open-autoglm-grocery"), tmp_path_factory.mktemp("int8") / "alone", CHECKS, settings
    )


def test_int8_vectors_stay_close_and_both_precisions_share_a_space(made: Int8Bundle) -> None:
    bundle = Bundle.open(made.path)
    assert bundle.verify() == []
    parity = bundle.manifest.graphs["image"]["int8"].parity
    assert parity["mean_cosine"] > 0.995 and parity["float_layers"] == 0
    assert {"lowest_cosine", "speedup", "bytes"} <= parity.keys()
    assert bundle.manifest.graphs["text"]["int8"].parity["mean_cosine"] > 0.99
    usual, int8, fp32 = load(made.path), load(made.path, precision="int8"), load(made.path, precision="fp32")
    few = PICTURES[10:14]
    assert np.array_equal(usual.embed_images(few), (fp32 if lacks_vnni() else int8).embed_images(few))
    cosines = (int8.embed_images(few) * fp32.embed_images(few)).sum(axis=1)
    assert 0.99 < cosines.mean() < 0.99999
    assert int8.space == fp32.space == load("open-autoglm-grocery").space


def test_the_int8_graph_takes_bytes_and_leaves_no_convolution_in_float(made: Int8Bundle) -> None:
    graph = onnx.load(made.path / "onnx" / "image.int8.onnx", load_external_data=False).graph
    operators = [node.op_type for node in graph.node]
    assert not {"Cast", "Sub", "BatchNormalization"} & set(operators)
    producers = {output: node for node in graph.node for output in node.output}
    layers = [node for node in graph.node if node.op_type == "Conv"]
    assert len(layers) == 64
    assert all(producers[name].op_type == "DequantizeLinear" for node in layers for name in node.input[:2])
    assert (made.path / "onnx" / "image.int8.onnx").stat().st_size < 200_000


def test_a_bundle_says_which_precision_it_prefers(made: Int8Bundle) -> None:
    bundle = Bundle.open(made.path)
    assert bundle.graph("image") is bundle.graph("image", "int8")
    assert bundle.graph("cells") is bundle.graph("cells", "fp32")
    before = bundle.manifest.precisions
    try:
        amend(made.path, precisions=("fp32", "int8"))
        bundle = Bundle.open(made.path)
        assert bundle.graph("image") is bundle.graph("image", "fp32")
    finally:
        amend(made.path, precisions=before)


def test_int8_alone_is_smaller_and_has_nothing_for_pytorch(alone: Int8Bundle) -> None:
    bundle = Bundle.open(alone.path)
    assert bundle.verify() == []
    assert not (alone.path / "onnx" / "image.fp32.onnx").exists()
    assert set(bundle.manifest.graphs["image"]) == {"int8"}
    shipped = Bundle.open("open-autoglm-grocery")
    assert (alone.path / "onnx" / "cells.fp32.onnx").exists()  # it was not asked for in int8
    assert (alone.path / WEIGHTS).stat().st_size <= (shipped.path / WEIGHTS).stat().st_size
    model = load(alone.path, precision="fp32")  # falls back, a graph at a time
    assert model.embed_images(PICTURES[:1]).shape == (1, 512)
    with pytest.raises(BundleError, match="int8 graphs alone"):
        OpenAutoGLM.from_pretrained(alone.path)


def test_a_changed_int8_weight_is_found(made: Int8Bundle) -> None:
    file = made.path / INT8_WEIGHTS
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert Bundle.open(made.path).verify() == [f"{INT8_WEIGHTS} has changed since it was written"]
        file.unlink()
        with pytest.raises(BundleError, match=INT8_WEIGHTS):
            Bundle.open(made.path)
    finally:
        file.write_bytes(content)


def test_what_keeps_too_little_is_left_out_and_nothing_is_written_for_nothing(tmp_path: Path) -> None:
    bundle = Bundle.open("open-autoglm-nlvr")
    checks = Checks(*[[np.full((100, 400, 3), shade, np.uint8) for shade in shades] for shades in ((0, 250), (99,))])
    settings = Int8Settings(StaticSettings(least_cosine=0), tasks=("regions",), least_speedup=1000)
    with pytest.raises(BundleError, match=r"No graph .* could be quantised: .*times as fast, and 1000 is asked for"):
        quantise_bundle(bundle, tmp_path / "made", checks, settings)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SettingError, match="no picture to calibrate with"):
        Checks([], [b""])
    with pytest.raises(SettingError, match="'pictures' cannot be quantised"):
        Int8Settings(tasks=("pictures",))


def test_where_only_the_size_counts_a_graph_may_keep_its_weights_alone_in_int8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Bundle.open("open-autoglm-grocery")
    settings = Int8Settings(tasks=("image",), least_speedup=0, only=True)
    monkeypatch.setattr(
        int8_bundle, "shortfall", lambda task, figures, settings: None if figures["float_layers"] else "it will not do"
    )
    made = quantise_bundle(source, tmp_path / "made", CHECKS, settings)
    bundle = Bundle.open(made.path)
    assert bundle.verify() == []
    assert set(made.notes) - {NO_VNNI} == {"The graph image has its weights alone in int8: it will not do."}
    graph = bundle.manifest.graphs["image"]["int8"]
    assert graph.parity["mean_cosine"] > 0.99 and graph.parity["float_layers"] > 20
    assert graph.parity["bytes"] > 4_000_000  # its weights included
    assert not any(shared.tensor.startswith("vision.") for shared in graph.weights.values() if shared.file == WEIGHTS)
    cosines = (
        load(made.path).embed_images(PICTURES[10:14])
        * load(source.path, precision="fp32").embed_images(PICTURES[10:14])
    ).sum(axis=1)
    assert cosines.min() > 0.98


def test_weights_that_are_only_stored_in_int8_are_unpacked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, opened = tmp_path / "seen.onnx", ort.InferenceSession

    def noting(graph: bytes, options: ort.SessionOptions, providers: list[str]) -> ort.InferenceSession:
        options.optimized_model_filepath = str(seen)
        return opened(graph, options, providers=providers)

    monkeypatch.setattr(ort, "InferenceSession", noting)
    open_session(weight_only_int8(net(1.0)).SerializeToString(), 1)
    assert {node.op_type for node in onnx.load(seen).graph.node}.isdisjoint({"DequantizeLinear"})


def test_a_bundle_that_has_int8_graphs_is_quantised_again(made: Int8Bundle, tmp_path: Path) -> None:
    source = Bundle.open(made.path)
    some = quantise_bundle(source, tmp_path / "some", CHECKS, Int8Settings(tasks=("text",), least_speedup=0))
    bundle = Bundle.open(some.path)
    assert bundle.verify() == []
    pictures = [load(one, precision="int8").embed_images(PICTURES[:2]) for one in (made.path, some.path)]
    assert np.array_equal(*pictures), "what was not asked for again is as it was"
    nothing = replace(Int8Settings(tasks=("image", "text")), least_text_cosine=1.0, least_speedup=0)
    fewer = Bundle.open(quantise_bundle(source, tmp_path / "fewer", CHECKS, nothing).path)
    assert fewer.verify() == []
    assert {task: set(there) for task, there in fewer.manifest.graphs.items()} == {
        "image": {"fp32", "int8"}, "text": {"fp32"}, "cells": {"fp32"}
    }  # fmt: skip
    assert not (fewer.path / "onnx" / "text.int8.onnx").exists()


def test_weights_alone_are_those_of_the_graph_beside() -> None:
    floats = net(1.0)
    beside = static_int8(floats, inputs(4), StaticSettings(least_cosine=0)).proto
    scale = next(one for one in beside.graph.initializer if one.name == "weight1_scale")
    scale.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(scale) * np.float32(1.01), scale.name))
    made = weight_only_int8(floats, beside)
    theirs = {one.name: one.SerializeToString() for one in beside.graph.initializer}
    for layer in range(3):
        for one in made.graph.initializer:
            if one.name.startswith(f"weight{layer}"):
                assert one.SerializeToString() == theirs[one.name]
    assert mean_cosine(outputs_of(floats, inputs(4)), outputs_of(made, inputs(4))) > 0.999


def net(spread: float, layers: int = 3) -> onnx.ModelProto:
    """Convolutions in a row, of which the second gives one channel values ``spread`` times those of the others."""
    random, channels = np.random.default_rng(0), 8
    nodes, weights = [], []
    for layer in range(layers):
        weight = random.normal(size=(channels, 3 if layer == 0 else channels, 3, 3)).astype(np.float32) / 5
        if layer == 1:
            weight[0] *= spread
        if layer == 2:
            weight[:, 0] /= spread
        weights.append(numpy_helper.from_array(weight, f"weight{layer}"))
        names = (["pixels"] if layer == 0 else [f"map{layer - 1}"], [f"map{layer}"])
        nodes.append(helper.make_node("Conv", [*names[0], f"weight{layer}"], names[1], f"conv{layer}", pads=[1] * 4))
    weights.append(numpy_helper.from_array(np.array([2, 3], np.int64), "axes"))
    nodes.append(helper.make_node("ReduceMax", [f"map{layers - 1}", "axes"], ["vectors"], "pool", keepdims=0))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", channels])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def inputs(count: int) -> list[dict[str, np.ndarray]]:
    """Smooth random maps."""
    random = np.random.default_rng(1)
    return [{"pixels": random.normal(size=(1, 3, 12, 12)).astype(np.float32)} for _ in range(count)]


def test_only_the_layers_that_do_harm_stay_in_float() -> None:
    settings = StaticSettings(least_cosine=0.999, most_float=1)
    harmless = static_int8(net(1), inputs(4), settings)
    assert harmless.left == () and harmless.cosine > 0.999
    proto = net(2000)
    quantised = static_int8(proto, inputs(4), settings)
    assert set(quantised.left) == {"weight1", "weight2"} and quantised.cosine > 0.999
    others = inputs(9)[4:]
    assert mean_cosine(outputs_of(proto, others), outputs_of(quantised.proto, others)) > 0.998


def test_what_cannot_be_calibrated_is_refused_with_a_sentence() -> None:
    proto = net(1)
    with pytest.raises(SettingError, match="nothing to calibrate with"):
        static_int8(proto, [], StaticSettings())
    with pytest.raises(
        BundleError, match=r"does not take what it is to be calibrated with \(pixels float32\[1, 4, 5, 5\]"
    ):
        static_int8(proto, [{"pixels": np.zeros((1, 4, 5, 5), np.float32)}], StaticSettings())
    source = Bundle.open("open-autoglm-grocery")
    with pytest.raises(BundleError, match="no convolution with constant weights"):
        convolutions(folded(inlined(source, source.graph("text", "fp32"))).graph)


@pytest.mark.parametrize("wrong", [{"method": "kl"}, {"percentile": 0}])
def test_a_wrong_setting_of_ranges_is_refused(wrong: dict) -> None:
    with pytest.raises(SettingError):
        RangeSettings(**wrong)


def test_ranges_hold_zero_and_leave_out_what_is_rare() -> None:
    random, histogram = np.random.default_rng(0), Histogram()
    for scale in (0.1, 1.0, 1.0):  # the bins are made wider on the way
        values = np.abs(random.normal(size=50_000)).astype(np.float32) * np.float32(scale)
        histogram.add(values, 0.0, float(values.max()))
    histogram.add(np.array([40.0], np.float32), 0.0, 40.0)
    assert histogram.counts.sum() == 150_001
    low, high = percentile(histogram, RangeSettings("percentile", 99.9))
    assert low == pytest.approx(0, abs=0.05) and 2.5 < high < 4.5
    low, high = mean_square(histogram, RangeSettings("mse"))
    assert low == 0 and high < 40
    everything = activation_ranges(net(1), ["map0"], inputs(2), RangeSettings("minmax"))["map0"]
    assert everything[0] < 0 < everything[1]


def test_without_vnni_float_graphs_are_run_and_it_is_said(
    made: Int8Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    for flags, lacks in (("fpu avx2 avx512f", True), ("fpu avx_vnni", False)):
        (tmp_path / flags).write_text(f"processor : 0\nflags : {flags}\n")
        assert lacks_vnni(tmp_path / flags) is lacks
    monkeypatch.setattr(runtime_model, "lacks_vnni", lambda: True)
    with pytest.warns(RuntimeWarning, match="no VNNI"):
        vectors = load(made.path).embed_images(PICTURES[:1])
    assert np.array_equal(vectors, load(made.path, precision="fp32").embed_images(PICTURES[:1]))


def test_the_manifest_names_only_what_is_unusual_of_a_shared_weight(made: Int8Bundle) -> None:
    assert '"transpose": false' not in (made.path / MANIFEST).read_text()
