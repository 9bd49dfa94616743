"""The examples in Python of the README and the docs run as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(code, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the examples take it for granted: some photos, and a few files by name."""
    photos = sorted((ROOT / "samples" / "grocery").glob("*.jpg"))[:12]
    (tmp_path / "photos").mkdir()
    for photo in photos:
        shutil.copy(photo, tmp_path / "photos")
    for name, photo in zip(("a.jpg", "b.jpg", "photo.jpg"), photos, strict=False):
        shutil.copy(photo, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(code: str, desk: Path) -> None:
    exec(compile(code, str(desk), "exec"), {})
