"""The wheel works in an environment of its own: no checkout, no PyTorch, the base bundle inside."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT))
    return next(folder.glob("*.whl"))


def run(*command: str, folder: Path | None = None) -> str:
    """The standard output of a command that must succeed."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_carries_the_bundle_and_the_page_and_nothing_of_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "open_autoglm/models/open-autoglm-base/manifest.json" in names
    assert "open_autoglm/serving/page/index.html" in names
    assert not [name for name in names if name.startswith(("tests/", "samples/", "benchmarks/", "scripts/"))]
    assert wheel.stat().st_size < 60_000_000


def test_it_indexes_and_searches_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", str(tmp_path / "env"))
    python = str(tmp_path / "env" / "bin" / "python")
    constraints = ("-c", str(ROOT / "constraints.txt"))
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraints, str(wheel))
    autoglm = str(tmp_path / "env" / "bin" / "autoglm")
    run(autoglm, "index", str(ROOT / "samples"), "--to", "photos.index", folder=tmp_path)
    found = json.loads(run(autoglm, "search", "photos.index", "a pair of jeans", "--json", folder=tmp_path))
    assert found["hits"][0]["path"].startswith(str(ROOT / "samples" / "clothing"))
    checks = (
        "import importlib.util as u; assert not u.find_spec('torch'); import open_autoglm; print(open_autoglm.__file__)"
    )
    assert str(tmp_path) in run(python, "-c", checks, folder=tmp_path)
    assert (
        json.loads(run(autoglm, "bundle", "verify", "open-autoglm-base", "--json", folder=tmp_path))["problems"] == []
    )
