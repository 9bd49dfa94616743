"""Bundles: opening, verifying, refusing, and writing all at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from open_autoglm import bundle as bundles
from open_autoglm.bundle import MANIFEST, WEIGHTS, Bundle, Manifest
from open_autoglm.errors import BundleError
from open_autoglm.runtime.model import load

BASE = "open-autoglm-base"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the base bundle that a test may damage."""
    return Path(shutil.copytree(bundles.shipped_folder() / BASE, tmp_path / "copy"))


def edit(folder: Path, **changes: Any) -> None:
    """Overwrites fields of a manifest."""
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip_byte(path: Path, position: int) -> None:
    """Changes one byte in place."""
    data = bytearray(path.read_bytes())
    data[position] ^= 0xFF
    path.write_bytes(data)


def test_the_base_bundle_is_sound_small_and_says_where_it_comes_from() -> None:
    bundle = Bundle.open(BASE)
    assert bundle.verify() == []
    facts = bundle.describe()
    assert facts["bytes"] < 60_000_000
    assert {source["licence"] for source in facts["sources"]} == {"Apache-2.0", "MIT"}
    assert all(graph["parity"] for graph in facts["graphs"].values())


@pytest.mark.parametrize("file", [WEIGHTS, "onnx/text.int8.onnx", "tokenizer.json", "config.json"])
def test_one_changed_byte_is_found_by_verify(copy: Path, file: str) -> None:
    flip_byte(copy / file, 200)
    assert Bundle.open(copy).verify() == [f"{file} has changed since it was written"]


def test_a_foreign_file_is_reported(copy: Path) -> None:
    (copy / "extra.bin").write_bytes(b"x")
    assert Bundle.open(copy).verify() == ["extra.bin is not part of the bundle"]


@pytest.mark.parametrize("damage", ["cut", "missing"])
def test_a_cut_or_missing_file_is_refused_when_opening(copy: Path, damage: str) -> None:
    file = copy / "onnx" / "image.fp32.onnx"
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        file.unlink()
    with pytest.raises(BundleError, match=r"damaged: image\.fp32\.onnx"):
        Bundle.open(copy)


def test_a_damaged_graph_is_refused_with_a_sentence(copy: Path) -> None:
    file = copy / "onnx" / "text.int8.onnx"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(BundleError, match="cannot be loaded"):
        load(copy).embed_texts(["a dog"])


def test_weights_that_are_no_safetensors_are_refused(copy: Path) -> None:
    file = copy / WEIGHTS
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(BundleError, match="safetensors"):
        load(copy).embed_texts(["a dog"])


def test_a_newer_format_asks_for_an_upgrade(copy: Path) -> None:
    edit(copy, format=bundles.FORMAT + 1)
    with pytest.raises(BundleError, match="upgrade open-autoglm"):
        Bundle.open(copy)


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"format": 1}', '{"format": 1, "graphs": 3}'])
def test_a_manifest_that_is_none_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(copy)


def test_a_manifest_must_not_reach_outside_its_folder(copy: Path) -> None:
    edit(copy, files={"../secret": {"size": 1, "sha256": "0"}})
    with pytest.raises(BundleError, match="outside the bundle"):
        Bundle.open(copy)


def test_a_graph_without_parity_is_not_run(copy: Path) -> None:
    graphs = json.loads((copy / MANIFEST).read_text())["graphs"]
    graphs["text"]["int8"]["parity"] = {}
    edit(copy, graphs=graphs)
    with pytest.raises(BundleError, match="no parity record"):
        load(copy).embed_texts(["a dog"])


def test_unknown_names_and_plain_directories_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"no bundle nonsense.*{BASE}"):
        Bundle.open("nonsense")
    with pytest.raises(BundleError, match="not an Open-AutoGLM bundle"):
        Bundle.open(tmp_path)


def some_manifest(name: str) -> Manifest:
    """A manifest of no graphs."""
    return Manifest(name, f"{name}-1", 8, 1, {}, {})


def test_a_bundle_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "made"
    with pytest.raises(RuntimeError), bundles.writing(target) as folder:
        (folder / "half").write_bytes(b"x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []

    with bundles.writing(target) as folder:
        (folder / "whole").write_bytes(b"x")
        bundles.seal(folder, some_manifest("first"))
    assert Bundle.open(target).verify() == []

    with pytest.raises(BundleError, match="exists already"), bundles.writing(target):
        pass
    with pytest.raises(RuntimeError), bundles.writing(target, overwrite=True):
        raise RuntimeError
    assert Bundle.open(target).manifest.name == "first"

    with bundles.writing(target, overwrite=True) as folder:
        bundles.seal(folder, some_manifest("second"))
    assert Bundle.open(target).manifest.name == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_facts_can_be_added_to_a_sealed_bundle(copy: Path) -> None:
    bundles.amend(copy, quality={"accuracy": 0.5})
    bundle = Bundle.open(copy)
    assert bundle.manifest.quality == {"accuracy": 0.5}
    assert bundle.verify() == []
