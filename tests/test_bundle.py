"""Bundles: opening, verifying, refusing, and writing all at once."""

from __future__ import annotations

import errno
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from open_autoglm import bundle as bundles
from open_autoglm.bundle import MANIFEST, WEIGHTS, Bundle, Manifest
from open_autoglm.errors import BundleError
from open_autoglm.runtime.model import load
from open_autoglm.weights import Weights, write_weights

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
        load(copy, precision="int8").embed_texts(["a dog"])


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


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), True),
        (("format",), 1.0),
        (("name",), 3),
        (("space",), ""),
        (("dimension",), "512"),
        (("dimension",), 256),
        (("dimension",), 10**400),
        (("views",), 9),
        (("views",), True),
        (("preprocessing", "image", "height"), 384.0),
        (("preprocessing", "image", "resize"), "stretch"),
        (("preprocessing", "image", "resample"), 3),
        (("preprocessing", "image", "mean"), [0.5, 0.5]),
        (("preprocessing", "image", "std"), [0.5, 0.5, 0]),
        (("preprocessing", "image", "crop"), 3),
        (("preprocessing", "text", "max_tokens"), "128"),
        (("preprocessing", "text", "pad_all"), 0),
        (("preprocessing", "text", "unknown_id"), [100]),
        (("preprocessing", "text", "template"), "a photo"),
        (("preprocessing", "text", "template"), "a {} {name}"),
        (("preprocessing", "text", "template"), "a {}, a {}"),
        (("graphs", "text", "int8", "file"), 3),
        (("graphs", "text", "int8", "file"), "onnx/other.onnx"),
        (("graphs", "text", "int8", "outputs", "vectors"), "float32[n, 256]"),
        (("graphs", "text", "int8", "parity"), [1]),
        (("graphs", "image"), []),
        (("graphs", "sound"), {}),
        (("files", "config.json", "size"), "3"),
        (("files", "config.json", "sha256"), "0"),
        (("files", ""), {"size": 0, "sha256": "0" * 64}),
        (("similarity",), "cosine"),
        (("similarity",), {"kind": "nearest"}),
        (("similarity",), {"kind": "cosine", "matrix": "image_head.vectors"}),
        (("similarity",), {"kind": "bilinear"}),
        (("similarity",), {"kind": "bilinear", "matrix": "no such tensor"}),
        (("similarity",), {"kind": "bilinear", "matrix": "image_head.vectors"}),
        (("similarity",), {"kind": "region_word"}),
        (("calibration",), [1]),
        (("calibration", "reference"), None),
        (("calibration", "reference"), "no such tensor"),
        (("calibration", "reference"), "logit_scale"),
        (("calibration", "fits", "whole"), {"temperature": 1}),
        (("calibration", "match"), {"similarity": 1, "logit": 1}),
        (("fusion",), {"answers": [], "proposals": {"kind": "grid"}}),
        (("calibration", "fits", "whole", "temperature"), 0),
        (("calibration", "fits", "whole", "offset"), float("nan")),
        (("calibration", "fits", "half"), {"temperature": 1, "offset": 0, "slope": 0, "margin": 0}),
        (("quality",), 3),
        (("sources",), [3]),
    ],
    ids=str,
)
def test_every_value_of_a_manifest_is_checked_when_opening(copy: Path, place: tuple[str, ...], value: Any) -> None:
    fields = json.loads((copy / MANIFEST).read_text())
    inner = fields
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (copy / MANIFEST).write_text(json.dumps(fields))
    with pytest.raises(BundleError):
        Bundle.open(copy)


def test_a_manifest_nested_without_end_is_refused(copy: Path) -> None:
    (copy / MANIFEST).write_text("[" * 100_000)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(copy)


def test_a_bare_name_is_the_shipped_bundle_whatever_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / BASE).mkdir()
    shutil.copytree(bundles.shipped_folder() / BASE, tmp_path / "mine")
    assert Bundle.open(BASE).path == bundles.shipped_folder() / BASE
    assert Bundle.open("mine").path == Path("mine")
    with pytest.raises(BundleError, match="has no manifest"):
        Bundle.open(f"./{BASE}")


def test_an_empty_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="empty"):
        Bundle.open("")
    with pytest.raises(BundleError, match="empty"), bundles.writing("", overwrite=True):
        pass


def some_manifest(name: str) -> Manifest:
    """A manifest of no graphs."""
    image = {"height": 8, "width": 8, "resize": "squash", "mean": (0.5,) * 3, "std": (0.5,) * 3}
    text = {"max_tokens": 8, "pad_id": 0, "unknown_id": None, "pad_all": False, "template": "{}"}
    return Manifest(name, f"{name}-1", 8, 1, {"image": image, "text": text}, {})


def test_a_bundle_that_could_not_be_opened_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="views is 0"), bundles.writing(tmp_path / "made") as folder:
        bundles.seal(folder, replace(some_manifest("made"), views=0))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="No space left"), bundles.writing(tmp_path / "made"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_others_may_read_the_weights_too(tmp_path: Path) -> None:
    write_weights(tmp_path / WEIGHTS, {"a": np.zeros(3, np.float32)}, packed=False)
    assert (tmp_path / WEIGHTS).stat().st_mode & 0o777 == 0o644


def test_weights_that_cannot_be_written_are_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be written"):
        write_weights(tmp_path / "no folder" / WEIGHTS, {"a": np.zeros(3, np.float32)}, packed=False)


def test_a_replacement_that_fails_leaves_the_old_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "made"
    with bundles.writing(target) as folder:
        bundles.seal(folder, some_manifest("first"))
    rename = Path.rename
    names: list[str] = []

    def second_fails(self: Path, to: Path) -> Path:
        names.append(self.name)
        if len(names) == 2:
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, to)

    with pytest.raises(BundleError, match="Input/output error"), bundles.writing(target, overwrite=True) as folder:
        bundles.seal(folder, some_manifest("second"))
        monkeypatch.setattr(Path, "rename", second_fails)
    assert Bundle.open(target).manifest.name == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_a_row_of_zeros_packs_to_zeros(tmp_path: Path) -> None:
    matrix = np.array([[0, 0, 0], [1, -2, 0.5]], np.float32)
    write_weights(tmp_path / WEIGHTS, {"matrix": matrix}, packed=True)
    found = Weights(tmp_path / WEIGHTS).float32("matrix")
    assert found[0].tolist() == [0, 0, 0]
    np.testing.assert_allclose(found, matrix, atol=2 / 127 / 2)


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


def test_equal_tensors_make_equal_files(tmp_path: Path) -> None:
    tensors = {"matrix": np.eye(3, dtype=np.float32), "vector": np.arange(3, dtype=np.float32)}
    written = set()
    for _ in range(12):
        write_weights(tmp_path / WEIGHTS, tensors, packed=True)
        written.add((tmp_path / WEIGHTS).read_bytes())
    assert len(written) == 1
    assert Weights(tmp_path / WEIGHTS).float32("vector").tolist() == [0, 1, 2]
