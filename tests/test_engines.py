"""Engines: the same numbers from each on real pictures, any threads, and one that is not installed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.folding import inlined
from open_autoglm.errors import MissingExtra, SettingError
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.engines import ENGINES, open_vino
from open_autoglm.runtime.engines.onnx_runtime import open_session
from open_autoglm.runtime.processor import lacks_vnni

SAMPLES = Path(__file__).parent.parent / "samples"
GROCERY = Path(__file__).parent.parent / "models" / "open-autoglm-grocery"
PICTURES = sorted(SAMPLES.glob("*/*.jpg"))[:3]
TEXTS = ["a red apple", "two dogs run along a beach in the evening"]


@pytest.mark.parametrize("kind", [kind for kind in ENGINES if kind != "onnxruntime"])
def test_an_engine_gives_what_onnx_runtime_gives(kind: str) -> None:
    """The base bundle: its picture graph shrinks with a filter, its words are looked up in int8."""
    ours, theirs = (open_autoglm.load(engine=engine, precision="fp32") for engine in ("onnxruntime", kind))
    pixels = np.stack([ours.prepare(picture) for picture in PICTURES])
    assert np.allclose(ours.embed_prepared(pixels), theirs.embed_prepared(pixels), atol=1e-5)
    assert np.allclose(ours.embed_texts(TEXTS), theirs.embed_texts(TEXTS), atol=1e-5)


def test_an_engine_serves_several_threads_and_batches_of_several_sizes() -> None:
    bundle = Bundle.open(GROCERY)
    engine = Engine(bundle, bundle.graph("image"), kind="openvino")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 288, 288, 3), np.uint8)
    wanted = engine.run(pixels=pixels)
    kept = wanted.copy()
    with ThreadPoolExecutor(3) as pool:
        counts = [1, 2, 3, 1, 2, 3]
        found = list(pool.map(lambda count: engine.run(pixels=pixels[:count]), counts))
    for count, vectors in zip(counts, found, strict=True):
        assert np.allclose(vectors, wanted[:count], atol=1e-5)
    assert np.array_equal(wanted, kept)  # the caller's own: no later run writes into it


def test_signals_are_still_handled_when_engines_have_come_and_gone() -> None:
    program = f"""
import signal
from open_autoglm.bundle import Bundle
from open_autoglm.runtime.engine import Engine
bundle = Bundle.open({str(GROCERY)!r})
engines = [Engine(bundle, bundle.graph("text"), kind="openvino") for _ in range(2)]
while engines:
    del engines[0]
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
signal.raise_signal(signal.SIGUSR1)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "handled\n"), ended.stderr


def test_the_memory_that_one_large_batch_took_is_not_what_a_default_model_asks_for() -> None:
    assert open_autoglm.load().batch_size <= 4


def test_an_unknown_engine_is_refused_when_the_model_is_opened() -> None:
    with pytest.raises(SettingError, match="no engine 'tensorrt'; there are onnxruntime, openvino"):
        open_autoglm.load(engine="tensorrt")


def test_an_engine_that_is_not_installed_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_vino, "find_spec", lambda package: None)
    with pytest.raises(MissingExtra, match=r"The engine openvino needs more packages: .*\[openvino\]"):
        open_autoglm.load(engine="openvino")


def test_a_graph_that_openvino_cannot_read_names_the_other_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> bytes:
        return b"\0" * 64

    monkeypatch.setattr(open_vino, "whole", broken)
    bundle = Bundle.open(GROCERY)
    with pytest.raises(Exception, match="use the engine onnxruntime") as caught:
        Engine(bundle, bundle.graph("text"), kind="openvino")
    assert isinstance(caught.value, open_autoglm.errors.BundleError)


@pytest.mark.parametrize("kind", ENGINES)
def test_pictures_in_int8_are_as_close_as_the_bundle_says_on_any_processor(kind: str) -> None:
    """Where there is no VNNI, fast kernels would cut sums off at 16 bits."""
    bundle, model = Bundle.open("open-autoglm-base"), open_autoglm.load()
    pixels = np.stack([model.prepare(picture) for picture in PICTURES])
    wanted = Engine(bundle, bundle.graph("image", "fp32")).run(pixels=pixels)
    graph = bundle.graph("image", "int8")
    found = Engine(bundle, graph, kind=kind).run(pixels=pixels)
    assert (wanted * found).sum(axis=-1).mean() > graph.parity["mean_cosine"] - 0.01


def test_a_weight_that_is_made_unsigned_is_the_same_weight() -> None:
    random = np.random.default_rng(0)
    constants = {
        "weights": random.integers(-127, 128, (8, 3, 3, 3)).astype(np.int8),
        "scales": random.random(8, np.float32),
        "bytes": random.integers(0, 256, (8, 3, 3, 3)).astype(np.uint8),
    }
    nodes = [
        helper.make_node("DequantizeLinear", [weights, "scales"], [f"{user}_weights"], axis=0)
        for weights, user in (("weights", "first"), ("weights", "second"), ("bytes", "third"))
    ]
    nodes += [helper.make_node("Conv", ["map", f"{one}_weights"], [one]) for one in ("first", "second", "third")]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, 3, 9, 9])],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in ("first", "second", "third")],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    given = {"map": random.random((1, 3, 9, 9), np.float32)}
    wanted = open_session(proto.SerializeToString(), 1).run(None, given)
    open_vino.make_unsigned(proto)
    assert {one.data_type for one in proto.graph.initializer} == {TensorProto.FLOAT, TensorProto.UINT8}
    for one, other in zip(wanted, open_session(proto.SerializeToString(), 1).run(None, given), strict=True):
        assert np.allclose(one, other, atol=1e-3)


@pytest.mark.skipif(not lacks_vnni(), reason="this processor has VNNI, where nothing is cut off")
def test_a_graph_whose_sums_are_cut_off_says_so() -> None:
    bundle = Bundle.open("open-autoglm-base")
    proto = inlined(bundle, bundle.graph("image", "int8"))
    first = next(one for one in proto.graph.initializer if one.name.endswith("_2"))
    for node in proto.graph.node:  # two layers take one weight by one name
        node.input[:] = [name.removesuffix("_2") if name == first.name else name for name in node.input]
    with pytest.warns(RuntimeWarning, match="its sums are cut off at 16 bits"):
        open_session(proto.SerializeToString(), 1)
    with pytest.raises(Exception, match="INVALID_PROTOBUF"):
        open_session(b"QuantizeLinear", 1)
