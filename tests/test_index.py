"""Searching an index: what is found, in which order, and what is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from index_parts import ColourModel, make, names, paint, paint_many

from open_autoglm.errors import (
    BundleError,
    ImageError,
    IndexStoreError,
    PictureNotFound,
    SettingError,
    SpaceMismatch,
    TextError,
)
from open_autoglm.search import Index


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Four plain pictures and one that is red and blue."""
    for colour in ("red", "green", "blue", "white"):
        paint(tmp_path / "photos" / f"{colour}.png", colour)
    paint(tmp_path / "photos" / "half.png", "red", "blue")
    index = make(tmp_path)
    index.add(tmp_path / "photos")
    return index


def test_text_finds_what_it_names_best_first(index: Index) -> None:
    hits = index.search("a green thing")
    assert names(hits) == ["green.png"]
    assert hits[0].score == pytest.approx(1, abs=1e-3)
    assert hits[0].metadata == {}


def test_text_matches_a_part_of_a_picture_and_a_picture_only_the_whole(index: Index, tmp_path: Path) -> None:
    assert sorted(names(index.search("red"))) == ["half.png", "red.png"]
    scores = {Path(hit.path).name: hit.score for hit in index.search(image=tmp_path / "photos/red.png")}
    assert scores["red.png"] == pytest.approx(1, abs=1e-3)
    assert scores["half.png"] == pytest.approx(0.5**0.5, abs=1e-3)


def test_a_text_that_matches_nothing_finds_nothing_unless_all_are_wanted(index: Index) -> None:
    assert index.search("a submarine") == []
    assert len(index.search("a submarine", cut=False)) == 5
    assert len(index.search("a submarine", cut=False, k=2)) == 2


def test_vectors_find_the_nearest_pictures_many_at_once(index: Index) -> None:
    model = index.model
    given = model.embed_images([record.file for record in index.sample(5)]) * np.float32(3)
    ids, cosines = index.nearest(given, k=3)
    assert ids.shape == cosines.shape == (5, 3) and (ids.dtype, cosines.dtype) == (np.int64, np.float32)
    assert ids[:, 0].tolist() == [record.id for record in index.sample(5)]
    for record, found, scores in zip(index.sample(5), ids.tolist(), cosines.tolist(), strict=True):
        hits = index.search(image=record.file, k=3)
        assert (found, scores) == ([hit.id for hit in hits], pytest.approx([hit.score for hit in hits]))
    ids, cosines = index.nearest(given[:1], k=4, where="name < 'h'")
    assert (ids[0] > 0).tolist() == [True, True, False, False] == np.isfinite(cosines[0]).tolist()
    assert ids[0, 2:].tolist() == [-1, -1]
    assert [part.shape for part in index.nearest(given[:0])] == [(0, 10), (0, 10)]


def test_vectors_that_cannot_be_compared_are_refused(index: Index) -> None:
    right = np.eye(index.info()["dimension"], dtype=np.float32)[:2]
    for wrong, said in (
        (right[0], r"of the shape \[queries, "),
        (right[:, 1:], r"of the shape \[queries, "),
        ("red", r"of the shape \[queries, .*not str"),
        ([["a"]], r"of the shape \[queries, .*not list"),
        (right * np.nan, "what is no number"),
        (right * np.array([[1], [np.inf]]), "what is no number"),
        (right * np.array([[1], [0]]), "no direction"),
    ):
        with pytest.raises(SettingError, match=said):
            index.nearest(wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="at least 1, not 0"):
        index.nearest(right, k=0)


def test_like_finds_similar_pictures_without_the_picture_itself(index: Index) -> None:
    half = index.search("red", where="name = 'half.png'")[0].id
    hits = index.search(like=half, k=2)
    assert sorted(names(hits)) == ["blue.png", "red.png"]


def test_equal_scores_come_in_the_order_of_their_ids(tmp_path: Path) -> None:
    index = make(tmp_path)
    index.add([paint(tmp_path / f"{number:02}.png", "red") for number in range(40)])
    assert [hit.id for hit in index.search("red", k=7)] == [1, 2, 3, 4, 5, 6, 7]
    index.delete([2, 5])
    assert [hit.id for hit in index.search("red", k=7)] == [1, 3, 4, 6, 7, 8, 9]


def test_k_may_exceed_the_index_and_an_empty_index_finds_nothing(index: Index, tmp_path: Path) -> None:
    assert len(index.search("red", k=1000, cut=False)) == 5
    assert make(tmp_path / "empty").search("red") == []


@pytest.mark.parametrize("query", [{}, {"text": "red", "like": 1}, {"text": "red", "k": 0}, {"text": "red", "k": -3}])
def test_an_unclear_search_is_refused(index: Index, query: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        index.search(**query)  # type: ignore[arg-type]


def test_unusable_queries_are_refused_by_their_kind(index: Index) -> None:
    with pytest.raises(TextError):
        index.search("  ")
    with pytest.raises(ImageError):
        index.search(image=b"no picture")
    with pytest.raises(PictureNotFound, match="999"):
        index.search(like=999)
    with pytest.raises(PictureNotFound, match="999"):
        index.get(999)


@pytest.mark.parametrize("text", ["red " * 25_000, "красное яблоко", "赤いリンゴ", "\ud800 red", "🍎"])
def test_long_and_foreign_texts_work(index: Index, text: str) -> None:
    assert len(index.search(text, cut=False)) == 5


def test_get_describes_a_picture(index: Index, tmp_path: Path) -> None:
    record = index.get(index.search("green")[0].id)
    path = tmp_path / "photos/green.png"
    assert (record.path, record.file, record.name, record.folder) == (str(path), path, path.name, str(path.parent))
    assert (record.width, record.height, record.size) == (64, 48, path.stat().st_size)
    assert record.date[:2] == "20"
    assert record.date.endswith("Z")


def test_deleted_pictures_are_not_found_and_their_ids_never_return(index: Index, tmp_path: Path) -> None:
    last = max(hit.id for hit in index.search("red", cut=False))
    assert index.delete([last, 12345]) == 1
    assert index.delete(last) == 0
    assert index.delete(where="name like 'half%' or name = 'red.png'") == 2
    assert (len(index), len(index.search("red", cut=False))) == (2, 2)
    report = index.add(tmp_path / "photos")
    assert report.added == 3
    assert min(hit.id for hit in index.search("red")) > last


def test_delete_needs_to_be_told_what(index: Index) -> None:
    for arguments in ({}, {"ids": [1], "where": "1"}):
        with pytest.raises(SettingError):
            index.delete(**arguments)  # type: ignore[arg-type]
    assert index.delete([]) == 0
    assert len(index) == 5


def test_info_says_what_the_index_is(index: Index, tmp_path: Path) -> None:
    (tmp_path / "photos/broken.png").write_bytes(b"broken")
    index.add(tmp_path / "photos")
    info = index.info()
    assert (info["pictures"], info["views"], info["dimension"], info["skipped"]) == (5, 3, 32, 1)
    assert (info["model"], info["space"]) == ("colours", "colours-1")
    assert info["folders"] == [str(tmp_path / "photos")]
    assert info["bytes"] > 10_000


def test_another_open_index_sees_what_is_added_and_deleted(index: Index, tmp_path: Path) -> None:
    other = Index.open(tmp_path / "colours.index", ColourModel())
    assert len(other.search("green")) == 1
    index.add(paint(tmp_path / "more/green.png", "green", size=(20, 20)))
    assert len(other.search("green")) == 2
    index.delete(where="width = 20")
    assert len(other.search("green")) == 1
    paint(tmp_path / "photos/green.png", "blue", size=(30, 30))
    index.add(tmp_path / "photos")
    assert other.search("green") == []
    other.close()


def test_a_model_of_another_space_is_refused_by_name(index: Index, tmp_path: Path) -> None:
    stranger = ColourModel(space="colours-2")
    with pytest.raises(SpaceMismatch, match=r"colours-1.*colours-2.*load colours.*new index"):
        Index.open(tmp_path / "colours.index", stranger)
    with pytest.raises(SpaceMismatch, match=r"colours-1.*colours-2"):
        index.use(stranger)
    with pytest.raises(SettingError, match="A model was expected"):
        index.use("colours-1")


def test_without_a_model_the_recorded_one_is_loaded_when_needed(index: Index, tmp_path: Path) -> None:
    with Index.open(tmp_path / "colours.index") as opened:
        assert (len(opened), opened.info()["model"]) == (5, "colours")
        assert len(opened.search(like=1, k=2)) == 2
        with pytest.raises(BundleError, match="colours"):
            opened.search("red")


def test_paths_that_are_no_index_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IndexStoreError, match="no index"):
        Index.open(tmp_path / "missing.index")
    make(tmp_path)
    with pytest.raises(IndexStoreError, match="already"):
        make(tmp_path)
    paint(tmp_path / "photos/a.png")
    with pytest.raises(IndexStoreError, match="holds other files"):
        Index.create(tmp_path / "photos", ColourModel())
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]


def test_a_closed_index_says_so(index: Index) -> None:
    index.close()
    with pytest.raises(IndexStoreError, match="closed"):
        index.search("red")


def test_many_threads_search_while_pictures_are_added(tmp_path: Path) -> None:
    index = make(tmp_path)
    paint(tmp_path / "photos/green.png", "green")
    paint_many(tmp_path / "photos", 200)
    failures: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            hits = index.search("green", k=3, cut=False)
            scores = [hit.score for hit in hits]
            if scores != sorted(scores, reverse=True) or not np.isfinite(scores).all():
                failures.append(hits)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    index.add(tmp_path / "photos")
    done.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert names(index.search("green", k=1)) == ["green.png"]
