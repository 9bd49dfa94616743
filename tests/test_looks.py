"""More ways to look: weighed texts, a picture with words, what is written of pictures, and what is refused."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from index_parts import ColourModel, make, names, paint, paint_many

from open_autoglm.errors import IndexStoreError, SettingError, TextError
from open_autoglm.search import Index, schema


@pytest.fixture
def index(tmp_path: Path) -> Index:
    """Plain pictures and halves, some with a caption; no file name tells a colour but one, which is wrong."""
    photos = tmp_path / "photos"
    paint(photos / "a.png", "red")
    paint(photos / "b.png", "red", "blue")
    paint(photos / "c.png", "red", "green")
    paint(photos / "d.png", "blue")
    paint(photos / "Summer_Dress12.png", "white")
    paint(photos / "Lisboa/blue.png", "green", size=(32, 32))
    captions = {
        "a.png": {"caption": "Crème brûlée in a bowl", "price": 12},
        "d.png": {"caption": "two dogs; a red ball", "seen": True},
    }
    index = make(tmp_path)
    index.add(photos, captions)
    return index


def test_a_text_of_a_weight_below_0_counts_against_what_matches_it(index: Index) -> None:
    assert sorted(names(index.search("red"))) == ["a.png", "b.png", "c.png"]
    hits = index.search({"red": 1.0, "blue": -0.5})
    assert names(hits)[-1] == "b.png"
    scores = {Path(hit.path).name: hit.score for hit in hits}
    # Nothing is better for being the less of what is not wanted: red and green score as if nobody had said blue.
    assert scores["a.png"] == scores["c.png"] == pytest.approx(1, abs=1e-3)
    assert scores["b.png"] == pytest.approx(1 - 0.5 * (1 - 0.5), abs=0.02)


def test_several_texts_are_weighed_against_each_other(index: Index) -> None:
    assert names(index.search({"red": 1, "blue": 1}, k=1)) == ["b.png"]
    assert names(index.search({"red": 1, "green": 3}, k=2)) == ["c.png", "blue.png"]
    twice = index.search({"red": 2.0}, cut=False)
    assert twice == index.search("red", cut=False)
    assert twice == index.search({"red": np.float32(7), "blue": 0}, cut=False)


def test_a_picture_and_words_are_both_looked_for(index: Index, tmp_path: Path) -> None:
    red = tmp_path / "photos/a.png"
    assert names(index.search("blue", image=red))[0] == "b.png"
    assert names(index.search({"green": 1}, image=red))[0] == "c.png"
    like_red = names(index.search({"green": -1.0}, image=red))
    assert like_red[0] == "a.png"
    assert like_red.index("b.png") < like_red.index("c.png")
    assert len(index.search("a submarine", image=red)) == 6


def test_words_that_are_written_are_found_whatever_the_picture_shows(index: Index) -> None:
    for text in ("a dress", "SUMMER", "dresses"):
        assert index.search(text) == []
        assert names(index.search(text, written=True)) == ["Summer_Dress12.png"]
    assert names(index.search("Lisboa", written=True)) == ["blue.png"]
    assert names(index.search("creme brulee", written=True)) == ["a.png"]
    assert names(index.search("dog", written=True)) == ["d.png"]
    assert index.search("12 true false png photos", written=True, where="name = 'a.png'") == []


def test_what_is_written_and_what_is_seen_add_up(index: Index) -> None:
    seen = {hit.id: hit.score for hit in index.search("blue", cut=False)}
    both = {hit.id: hit.score for hit in index.search("blue", cut=False, written=True)}
    (liar,) = [hit.id for hit in index.search("blue", where="name = 'blue.png'", cut=False)]
    assert both[liar] > seen[liar]
    assert {id: score for id, score in both.items() if id != liar} == {k: v for k, v in seen.items() if k != liar}
    # A chance mention does not stand before what is to be seen.
    assert names(index.search("blue", written=True)) == ["b.png", "d.png", "blue.png"]
    assert names(index.search({"red": 1, "dogs": -1}, written=True, where="width = 64", cut=False))[-1] == "d.png"


def test_only_pictures_that_the_filter_keeps_are_found_by_their_words(index: Index) -> None:
    assert index.search("dress", written=True, where="name like 'a%'") == []
    assert names(index.search("dress", written=True, where="name like 'S%'")) == ["Summer_Dress12.png"]


def test_words_are_kept_up_with_what_happens_to_pictures(index: Index, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "Summer_Dress12.png").rename(photos / "coat.png")
    index.add(photos, {"a.png": {"caption": "apple pie"}})
    assert index.search("dress", written=True) == []
    assert names(index.search("coat", written=True)) == ["coat.png"]
    assert (index.search("brulee", written=True), names(index.search("pie", written=True))) == ([], ["a.png"])
    index.delete(where="name = 'coat.png'")
    assert index.search("coat", written=True) == []


@pytest.mark.parametrize(
    "text",
    [
        'dress" OR "red',
        "dress AND",
        "NEAR(dress summer)",
        "dress*",
        "-dress",
        "^dress",
        "name : dress",
        "{name facts}: dress",
        "'; DROP TABLE written; -- dress",
        "dress \ud800 \x00",
        "(dress",
        "dress + ",
        "dress " * 30_000,
    ],
)
def test_nothing_that_is_typed_is_taken_for_a_language(index: Index, text: str) -> None:
    before, after = (index.search(text, written=written, cut=False) for written in (False, True))
    assert len(after) == 6
    plain = {hit.id: hit.score for hit in before}
    gained = {Path(hit.path).name for hit in after if hit.score > plain[hit.id]}
    assert "Summer_Dress12.png" in gained <= {"Summer_Dress12.png", "d.png"}


@pytest.mark.parametrize("text", ["*", '"', "-", "()", "the of a", "AND OR NOT", "赤いリンゴ", "🍎"])
def test_what_is_written_nowhere_changes_nothing(index: Index, text: str) -> None:
    assert index.search(text, written=True, cut=False) == index.search(text, cut=False)


@pytest.mark.parametrize(
    ("query", "error", "said"),
    [
        ({"text": {}}, SettingError, "only what is not wanted"),
        ({"text": {"red": -1}}, SettingError, "only what is not wanted"),
        ({"text": {"red": 0}}, SettingError, "only what is not wanted"),
        ({"text": {"red": "1"}}, SettingError, "weight of 'red' is '1'"),
        ({"text": {"red": True}}, SettingError, "weight"),
        ({"text": {"red": None}}, SettingError, "weight"),
        ({"text": {"red": float("nan")}}, SettingError, "weight"),
        ({"text": {"red": float("inf")}}, SettingError, "weight"),
        ({"text": {"red": 1e9}}, SettingError, "between"),
        ({"text": {"red": 1, "": -1}}, TextError, "empty"),
        ({"text": {5: 1}}, TextError, "not int"),
        ({"text": ["red"]}, TextError, "not list"),
        ({"text": {f"red {n}": 1 for n in range(17)}}, SettingError, "limit of 16"),
        ({"text": {"red": 1}, "like": 1}, SettingError, "goes with nothing else"),
        ({"text": {"red": 1, "blue": 1}, "rerank": 10}, SettingError, "one text"),
        ({}, SettingError, "Give a text"),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(index: Index, query: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        index.search(**query)


def as_made_before(path: Path) -> None:
    """Takes from an index what an earlier version did not make."""
    with sqlite3.connect(path / schema.DATABASE) as connection:
        for trigger in ("insert", "update", "delete"):
            connection.execute(f"DROP TRIGGER written_{trigger}")
        connection.execute("DROP TABLE written")
        connection.execute("DROP TABLE looks")
        connection.execute("DELETE FROM meta WHERE name = 'background'")
    connection.close()


def test_an_index_of_an_earlier_version_gets_its_words_when_they_are_first_looked_for(
    index: Index, tmp_path: Path
) -> None:
    index.close()
    as_made_before(tmp_path / "colours.index")
    paint(tmp_path / "photos/later.png", "green")
    with Index.open(tmp_path / "colours.index", ColourModel()) as opened:
        opened.add(tmp_path / "photos")
        assert names(opened.search("red", k=1)) == ["a.png"]
        assert names(opened.search("later", written=True)) == ["later.png"]
        assert names(opened.search("brulee", written=True)) == ["a.png"]
        assert opened.duplicates().compared == 7
    with Index.open(tmp_path / "colours.index", ColourModel()) as again:
        assert names(again.search("dress", written=True)) == ["Summer_Dress12.png"]


def test_an_earlier_index_that_is_read_only_says_what_it_lacks(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.close()
    as_made_before(tmp_path / "colours.index")
    monkeypatch.setattr(schema.os, "access", lambda path, mode: False)
    with Index.open(tmp_path / "colours.index", ColourModel()) as opened:
        assert len(opened.search("red")) == 3
        assert opened.duplicates().compared == 6
        with pytest.raises(IndexStoreError, match="earlier version, which kept no words"):
            opened.search("red", written=True)


def test_thousands_of_pictures_with_the_same_word_do_no_harm(tmp_path: Path) -> None:
    index = make(tmp_path)
    paths = paint_many(tmp_path / "many", 40)
    paint(tmp_path / "many/plain.png", "green")
    index.add(tmp_path / "many", {str(path): {"caption": "green"} for path in paths})
    assert names(index.search("green", k=1, written=True)) == ["plain.png"]
    assert len(index.search("green", written=True, cut=False, k=100)) == 41


@pytest.mark.parametrize("query", ["green red", {"red": 1, "green": -0.7}, {"plain": -1, "red": 0.5, "blue": 0.5}])
def test_the_best_few_are_the_first_of_all(tmp_path: Path, query: Any) -> None:
    """However many pictures the words lift or lower, as many of the others as are needed stand beside them."""
    index = make(tmp_path)
    colours = ("red", "green", "blue", "white")
    for number in range(48):
        left, right = colours[number % 4], colours[(number // 4) % 4]
        paint(tmp_path / "photos" / f"{number} {colours[number % 3]}{' plain' * (number % 2)}.png", left, right)
    index.add(tmp_path / "photos")
    for cut in (False, True):
        every = index.search(query, k=1000, written=True, cut=cut)
        assert [hit.score for hit in every] == sorted((hit.score for hit in every), reverse=True)
        for k in (1, 3, 10, 30):
            assert index.search(query, k=k, written=True, cut=cut) == every[:k]
