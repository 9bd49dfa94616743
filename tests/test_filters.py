"""What ``where`` keeps, and what it refuses to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from index_parts import make, names, paint

from open_autoglm.errors import FilterError, SettingError
from open_autoglm.search import Index


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Index:
    """Five pictures with metadata of every kind."""
    folder = tmp_path_factory.mktemp("filters")
    metadata = {
        "red.png": {"price": 10, "Brand": "Ödland", "sale": True, "is it 'so'": "yes"},
        "sub/green.png": {"price": 20.5, "brand": "it's", "sale": False},
        str(folder / "photos/blue.png"): {"price": None, "brand": "50% off_"},
    }
    paint(folder / "photos/red.png", "red", size=(100, 50))
    paint(folder / "photos/sub/green.png", "green", size=(200, 50))
    paint(folder / "photos/blue.png", "blue", size=(300, 50))
    paint(folder / "photos/white.png", "white", size=(400, 50))
    index = make(folder)
    index.add(folder / "photos", metadata)
    return index


def found(index: Index, where: str) -> str:
    """The first letters of what a filter keeps."""
    return "".join(sorted(name[0] for name in names(index.search("red", where=where, cut=False))))


@pytest.mark.parametrize(
    ("where", "kept"),
    [
        ("width > 150", "bgw"),
        ("width between 100 and 200 and height = 50", "gr"),
        ("name like 'RED%'", "r"),
        ("name in ('red.png', 'blue.png')", "br"),
        ("path glob '*/sub/*'", "g"),
        ("folder like '%/photos'", "brw"),
        ("date >= '2020-01-01' and date(date) < '2100-01-01'", "bgrw"),
        ("size > 0 and id <= 1000", "bgrw"),
        ("price < 20", "r"),
        ("price is null", "bw"),
        ("PRICE >= 10 or brand like '50!%%' escape '!'", "bgr"),
        ("brand = 'it''s'", "g"),
        ("brand = 'Ödland' or brand = 'it''s'", "gr"),
        ("lower(brand) = 'it''s'", "g"),
        ("sale", "r"),
        ("not sale", "g"),
        ("\"is it 'so'\" = 'yes'", "r"),
        ("[price] = 10", "r"),
        ("case when width > 250 then 1 else 0 end", "bw"),
        ("brand = '); drop table pictures; --'", ""),
        ("1", "bgrw"),
        ("0", ""),
    ],
)
def test_a_filter_keeps_what_it_says(index: Index, where: str, kept: str) -> None:
    assert found(index, where) == kept


def test_a_filter_comes_before_the_best_are_chosen(index: Index) -> None:
    assert names(index.search("red", k=1, where="width = 400", cut=False)) == ["white.png"]
    assert index.search("red", k=1, where="width = 400") == []


@pytest.mark.parametrize(
    "where",
    [
        "1) UNION SELECT id FROM pictures WHERE (1",
        "1) OR (1",
        "1; DROP TABLE pictures",
        "1 --",
        "1 /* x */",
        "1 /*",
        "(1",
        "1)",
        ")(",
        "name = 'open",
        'name = "open',
        "id IN (SELECT id FROM pictures)",
        "id IN (SELECT id FROM items)",
        "id IN pictures",
        "id IN items",
        "EXISTS (SELECT 1)",
        "(WITH x AS (VALUES (1)) SELECT * FROM x)",
        "(VALUES (1))",
        "1 ORDER BY 1",
        "1 LIMIT 1",
        "readfile('/etc/passwd') is not null",
        "load_extension('x')",
        "randomblob(1000000000) is null",
        "zeroblob(1000000000) is null",
        "printf('%1000000d', 1) = ''",
        "json_extract(brand, '$') = 1",
        "count(*) > 1",
        "metadata = 1",
        "main.pictures.content is null",
        "raise(abort, 'x')",
        "?",
        ":x",
        "",
        "   ",
        "\x00",
        "'\ud800' = name",
        "name name",
        "(" * 2000 + "1" + ")" * 2000,
        "1 or " * 2500 + "1",
        "name like '" + "%a" * 2000 + "'",
    ],
)
def test_what_is_no_filter_is_refused_and_changes_nothing(index: Index, where: str) -> None:
    with pytest.raises(FilterError):
        index.search("red", where=where)
    with pytest.raises(FilterError):
        index.delete(where=where)
    assert len(index) == 4


@pytest.mark.parametrize("where", ["widht > 3", '"widht" > 3', "[widht] > 3", "Widht > 3"])
def test_a_mistyped_column_is_named_with_the_nearest(index: Index, where: str) -> None:
    with pytest.raises(FilterError, match=r"(?i)'widht'.*Did you mean width\?.*path, name.*price"):
        index.search("red", where=where)


def test_text_without_quotes_is_explained(index: Index) -> None:
    with pytest.raises(FilterError, match=r"'Nikon'.*single quotes"):
        index.search("red", where="brand = Nikon")


def test_a_filter_that_never_ends_is_stopped(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("open_autoglm.search.filters.SECONDS", -1.0)
    monkeypatch.setattr("open_autoglm.search.filters.STEPS_BETWEEN_CHECKS", 1)
    with pytest.raises(FilterError, match="takes longer"):
        index.search("red", where="width > 1")


@pytest.mark.parametrize(
    "metadata",
    [
        {"Width": 1},
        {"path": "x"},
        {'a"b': 1},
        {"a\\b": 1},
        {"": 1},
        {"tags": ["a"]},
        {"x": float("nan")},
        {"x": "\ud800"},
        {f"key{number}": 1 for number in range(300)},
    ],
)
def test_metadata_that_cannot_be_filtered_on_is_refused(tmp_path: Path, metadata: dict[str, object]) -> None:
    paint(tmp_path / "photos/red.png")
    index = make(tmp_path)
    with pytest.raises(SettingError, match="metadata"):
        index.add(tmp_path / "photos", {"red.png": metadata})  # type: ignore[dict-item]
    assert len(index) == 0
