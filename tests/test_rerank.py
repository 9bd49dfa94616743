"""Search in two stages: the best pictures are read again, and the order is the second look's."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_parts import ColourModel, SecondLook, make, names, paint

from open_autoglm.errors import SettingError
from open_autoglm.search import Index


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Red pictures of five widths, the widest added first, and a green one."""
    for width in (90, 70, 50, 30, 10):
        paint(tmp_path / f"photos/{90 - width:02}-{width}.png", "red", size=(width, 20))
    paint(tmp_path / "photos/green.png", "green", size=(5, 5))
    model = ColourModel()
    model.matching = SecondLook()
    opened = make(tmp_path, model)
    opened.add(tmp_path / "photos")
    return opened


def test_the_order_is_the_second_looks(index: Index) -> None:
    assert names(index.search("red", k=5)) == ["00-90.png", "20-70.png", "40-50.png", "60-30.png", "80-10.png"]
    hits = index.search("red", k=3, rerank=5)
    assert names(hits) == ["80-10.png", "60-30.png", "40-50.png"]
    assert [hit.match for hit in hits] == pytest.approx([1 / 10, 1 / 30, 1 / 50], abs=1e-5)
    assert all(hit.score == pytest.approx(1.0) and hit.note == "" for hit in hits)
    assert index.search("red", k=1)[0].match is None


def test_only_the_best_are_looked_at_twice(index: Index) -> None:
    assert names(index.search("red", k=3, rerank=3)) == ["40-50.png", "20-70.png", "00-90.png"]
    assert names(index.search("red", k=2, rerank=50, where="width > 60")) == ["20-70.png", "00-90.png"]
    assert "green.png" not in names(index.search("red", k=6, rerank=50))  # cut as ever
    assert names(index.search("red", k=6, rerank=6, cut=False))[0] == "green.png"


def test_pictures_that_are_gone_or_broken_keep_their_place(index: Index, tmp_path: Path) -> None:
    (tmp_path / "photos/20-70.png").unlink()
    (tmp_path / "photos/60-30.png").write_bytes(b"broken")
    hits = index.search("red", k=5, rerank=5)
    assert names(hits) == ["80-10.png", "20-70.png", "40-50.png", "60-30.png", "00-90.png"]
    assert [hit.match is None for hit in hits] == [False, True, False, True, False]
    assert "20-70.png" in hits[1].note and "60-30.png" in hits[3].note


def test_what_cannot_be_looked_at_twice_is_said(index: Index, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="rerank is 3 and k is 5: look twice at as many"):
        index.search("red", k=5, rerank=3)
    with pytest.raises(SettingError, match="Only a search by words"):
        index.search(like=1, rerank=50)
    with pytest.raises(SettingError, match="must be a whole number, not 'all'"):
        index.search("red", rerank="all")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="rerank is -1"):
        index.search("red", rerank=-1)
