"""Tuning: what it finds is kept outside the bundle, used on this machine alone, and given way to what a user says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.cli import app
from open_autoglm.runtime import model as models
from open_autoglm.runtime import tuned, tuning
from open_autoglm.runtime.engine import Engine
from open_autoglm.runtime.engines import open_vino
from open_autoglm.runtime.processor import lacks_vnni
from open_autoglm.runtime.tuned import Choice, Tuned

NLVR = Path(__file__).parent.parent / "models" / "open-autoglm-nlvr"
TEXT = Choice("openvino", "fp32", 1)


def used(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> list[Any]:
    """What the base bundle's text graph is run with: precision's file, threads, engine."""
    seen: list[Any] = []

    class Noted(Engine):
        def __init__(self, bundle: Bundle, graph: Any, threads: int | None, kind: str) -> None:
            seen.extend([graph.file, threads, kind])
            super().__init__(bundle, graph, threads)

    monkeypatch.setattr(models, "Engine", Noted)
    open_autoglm.load(**settings).embed_texts(["a dog"])
    return seen


def run(*arguments: str) -> Any:
    result = CliRunner().invoke(app, ["tune", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_bundle_is_tuned_and_its_files_stay_as_they_are(
    tmp_path: Path, untuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tuning, "SECONDS", 1.0)
    bundle = Path(shutil.copytree(NLVR, tmp_path / "bundle"))
    found = run(str(bundle))
    assert [row["task"] for row in found["graphs"]] == ["regions", "answer"]
    assert all(row["milliseconds"] > 0 and row["times_faster"] > 0 for row in found["graphs"])
    assert Path(found["kept"]).is_relative_to(untuned)
    assert Bundle.open(bundle).verify() == []
    # A copy of the bundle is the same bundle.
    assert tuned.read_tuned(Bundle.open(NLVR)) is not None
    assert run(str(NLVR), "--forget")["forgotten"] == 1
    assert tuned.read_tuned(Bundle.open(bundle)) is None


def test_load_takes_the_choice_and_what_is_given_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = "onnx/text.fp32.onnx" if lacks_vnni() else "onnx/text.int8.onnx"
    assert used(monkeypatch) == [shipped, None, "onnxruntime"]
    tuned.store_tuned(Bundle.open("open-autoglm-base"), Tuned({"text": TEXT}, 2))
    assert used(monkeypatch) == ["onnx/text.fp32.onnx", 1, "openvino"]
    assert open_autoglm.load().batch_size == 2
    given = used(monkeypatch, precision="int8", threads=3, engine="onnxruntime")
    assert given == ["onnx/text.int8.onnx", 3, "onnxruntime"]


@pytest.mark.parametrize("change", [{"processor": "another"}, {"cores": 999}, {"versions": {"onnxruntime": "0"}}])
def test_a_choice_of_another_machine_is_not_used(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open("open-autoglm-base")
    tuned.store_tuned(bundle, Tuned({"text": TEXT}, 2))
    other = replace(tuned.this_machine(), **change)
    monkeypatch.setattr(tuned, "this_machine", lambda: other)
    assert tuned.read_tuned(bundle) is None
    assert open_autoglm.load().batch_size == models.BATCH


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"tasks": {"text": {"engine": "gone", "precision": "fp32", "threads": 1}}, "batch_size": 1}'],
)
def test_a_damaged_choice_is_as_none(content: str) -> None:
    bundle = Bundle.open("open-autoglm-base")
    tuned.store_tuned(bundle, Tuned({"text": TEXT}, 2)).write_text(content)
    assert tuned.read_tuned(bundle) is None


def test_a_cache_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(open_autoglm.errors.SettingError, match="set XDG_CACHE_HOME to a folder that can"):
        tuned.store_tuned(Bundle.open("open-autoglm-base"), Tuned({}, 1))


def test_an_engine_with_other_numbers_is_refused_however_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO as it reads ONNX by itself: it shrinks pictures without a filter."""
    shipped = Bundle.open("open-autoglm-base")
    floats = {"image": {"fp32": shipped.graph("image", "fp32")}, "text": {"fp32": shipped.graph("text", "fp32")}}
    bundle = Bundle(shipped.path, replace(shipped.manifest, graphs=floats, cells={}))
    monkeypatch.setattr(open_vino, "keep_antialiasing", lambda model: None)
    call = tuning.recorded_calls(bundle)["image"]
    bench = tuning.Bench(bundle, "image", call, 0.1)
    assert bench.best(["onnxruntime", "openvino"]).choice.engine == "onnxruntime"
    assert [sentence for sentence in bench.refused if "gives other numbers with openvino" in sentence]


def outcomes(times: Callable[[Choice], float]) -> Callable[..., dict[Choice, float]]:
    """Stands in for the clock."""
    return lambda runs, seconds: {choice: times(choice) for choice in runs}


@pytest.mark.parametrize("lacks", [True, False])
@pytest.mark.parametrize(("share", "taken"), [(1.0, False), (0.95, False), (0.85, True)])
def test_what_a_load_takes_stays_unless_another_is_a_tenth_faster(
    lacks: bool, share: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "lacks_vnni", lambda: lacks)
    default, other = ("fp32", "int8") if lacks else ("int8", "fp32")
    assert used(monkeypatch)[0] == f"onnx/text.{default}.onnx"
    monkeypatch.setattr(tuning, "alternated", outcomes(lambda choice: 1.0 if choice.precision == default else share))
    bundle = Bundle.open("open-autoglm-base")
    row = tuning.Bench(bundle, "text", tuning.recorded_calls(bundle)["text"], 0.1).best(["onnxruntime"])
    assert (row.choice.engine, row.choice.precision) == ("onnxruntime", other if taken else default)
    assert row.times_faster == pytest.approx(1 / share if taken else 1)


@pytest.mark.parametrize(("again", "taken"), [(0.85, True), (0.95, False), (1.1, False)])
def test_a_lead_has_to_last_when_threads_are_tried(again: float, taken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, of which one alone is quicker; the rival's lead is over the default with as many threads."""
    shares = iter([0.5, again])
    monkeypatch.setattr(tuning, "available_cores", lambda: 2)
    bundle = Bundle.open("open-autoglm-base")
    default = models.default_precision(bundle, "text")

    def alternated(runs: Iterable[Choice], seconds: float) -> dict[Choice, float]:
        share = next(shares)
        return {run: run.threads * (1.0 if run.precision == default else share) for run in runs}

    monkeypatch.setattr(tuning, "alternated", alternated)
    row = tuning.Bench(bundle, "text", tuning.recorded_calls(bundle)["text"], 0.1).best(["onnxruntime"])
    assert (row.choice.precision != default, row.choice.threads) == (taken, 1)
    assert row.times_faster == pytest.approx(2 / again if taken else 2)


@pytest.mark.parametrize(
    ("wanted", "got", "taken"),
    [
        (3.2, 3.2001, True),
        (3.2, 0.01, False),
        (3.2, -3.2, False),
        (0.01, 3.2, False),
        (3.2, np.nan, False),
        (1e-6, -2e-6, True),
        (0.0, 1e-6, True),
    ],
)
def test_an_engine_is_refused_for_another_match_and_not_for_one_near_0(
    wanted: float, got: float, taken: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = Bundle.open(NLVR)
    bundle = Bundle(shipped.path, replace(shipped.manifest, fusion=shipped.manifest.fusion | {"match": True}))
    call = tuning.recorded_calls(bundle)["answer"]
    (real,) = call(Engine(bundle, bundle.graph("answer")))
    assert real.shape == (1,)

    class Told(Engine):
        def __init__(self, bundle: Bundle, graph: Any, threads: int | None, kind: str) -> None:
            self._told = got if kind == "openvino" else wanted

        def outputs(self, names: Sequence[str], **inputs: Any) -> list[Any]:
            return [np.full_like(real, self._told) for _ in names]

    monkeypatch.setattr(tuning, "Engine", Told)
    monkeypatch.setattr(tuning, "alternated", outcomes(lambda choice: 0.1 if choice.engine == "openvino" else 1.0))
    bench = tuning.Bench(bundle, "answer", call, 0.1)
    assert bench.best(["onnxruntime", "openvino"]).choice.engine == ("openvino" if taken else "onnxruntime")
    assert any("gives other numbers with openvino" in sentence for sentence in bench.refused) is not taken


def test_tune_goes_without_an_engine_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_vino, "find_spec", lambda package: None)
    usable, refused = tuning.usable_engines()
    assert usable == ["onnxruntime"]
    assert len(refused) == 1
    assert "[openvino]" in refused[0]
