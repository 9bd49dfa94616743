"""Engines: the same numbers from each on real pictures, any threads, and one that is not installed."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.errors import MissingExtra, SettingError
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.engines import ENGINES, open_vino

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
