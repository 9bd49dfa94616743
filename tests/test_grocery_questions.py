"""Questions about groceries: what the shop says is read, and the words of a question do not give its answer away."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.make_grocery_questions import IS_IT, WHAT, Asked, catalogue, product, write

MILK = """Title: Mellanmjölk Ekologisk 1,5%
Manufacturer and volume: GARANT EKO ,\u00a01l
Manufacturing country: Sverige
Nutrition values per 100 gram:
   fett ca 1.50 gram
   varav mättat fett ca 1 gram
   varav sockerarter ca 4.90 gram
"""
CLASSES = [
    ("Granny-Smith", "Apple", "Fruit", "Title: Apple\nCountry and volume: Italy,\xa0ca 180g \nDescription: Green."),
    ("Royal-Gala", "Apple", "Fruit", "Title: Apple\nCountry and volume: Argentina,\xa0ca 180g"),
    ("Lemon", "Lemon", "Fruit", "Title: Lemon Class 1 \nCountry: Spain \nDescription: Sour."),
    ("Leek", "Leek", "Vegetables", ""),
    ("Garant-Ecological-Milk", "Milk", "Packages", MILK),
    ("Bravo-Apple-Juice", "Juice", "Packages", "Manufacturer and volume: BRAVO , 2l\nenergi ca 180 kilojoule"),
    ("Arla-Sour-Milk", "Sour-Milk", "Packages", "Manufacturer and volume: ARLA KO , 1kg"),
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grocery")
    rows = [
        {"fine_id": number, "fine": fine, "coarse": coarse, "description": "", "information": page}
        for number, (fine, coarse, _, page) in enumerate(CLASSES)
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "classes.parquet")
    photos = [
        {"path": f"train/{group}/{coarse}/{fine}_{number}.jpg", "fine_id": place}
        for place, (fine, coarse, group, _) in enumerate(CLASSES)
        for number in range(12)
    ]
    pq.write_table(pa.Table.from_pylist(photos), folder / "train.parquet")
    return folder


def asked(data: Path, all_wordings: bool) -> list[dict[str, Any]]:
    products = catalogue(data)
    return list(Asked([products[place] for place in products for _ in range(12)], all_wordings, [0]).all())


def test_what_the_shop_says_is_read(data: Path) -> None:
    milk = catalogue(data)[4]
    assert (milk.name, milk.category, milk.group) == ("Garant Ecological Milk", "Milk", "package")
    assert (milk.brand, milk.volume, milk.country, milk.fat, milk.sugar) == ("Garant", "1 l", "Sweden", "1.5 g", "5 g")
    assert milk.organic
    apple = catalogue(data)[0]
    assert (apple.country, apple.brand, apple.volume, apple.organic) == ("Italy", None, None, False)
    assert catalogue(data)[3].country is None


def test_a_saturated_fat_is_not_the_fat() -> None:
    row = {"fine": "Milk", "coarse": "Milk", "description": "", "information": "of which saturated fat ca 7.7 gram"}
    assert product(row, "package").fat is None


def test_no_question_gives_its_answer_away(data: Path) -> None:
    answers = defaultdict[str, Counter[str]](Counter)
    for row in asked(data, True):
        if row["answer"] in ("yes", "no"):
            answers[row["question"]][row["answer"]] += 1
    assert all(any(thing in one for one in answers) for thing in ("Granny Smith", "Apple", "a drink", "organic"))
    assert all(count["yes"] == count["no"] for count in answers.values())


def test_answers_are_true_and_each_photo_is_asked_a_thing_once(data: Path) -> None:
    rows = asked(data, True)
    assert len({(row["photo"], row["question"]) for row in rows}) == len(rows)
    for row in rows:
        fine, coarse, group, _ = CLASSES[row["photo"] // 12]
        if row["question"] in (wording.format("a drink") for wording in IS_IT):
            assert row["answer"] == ("yes" if coarse in ("Milk", "Juice") else "no") and coarse != "Sour-Milk"
        if row["question"] in (wording.format("Lemon") for wording in IS_IT):
            assert row["answer"] == ("yes" if fine == "Lemon" else "no")
        if row["kind"] == "group":
            assert row["answer"] == {"Fruit": "fruit", "Vegetables": "vegetable", "Packages": "package"}[group]


def test_training_lacks_wordings_that_validation_has(data: Path) -> None:
    training, validation = (asked(data, one) for one in (False, True))
    assert not any(row["new_wording"] for row in training)
    assert WHAT[-1] in {row["question"] for row in validation if row["new_wording"]}
    assert WHAT[-1] not in {row["question"] for row in training}


def test_each_row_has_its_picture_and_a_picture_is_stored_once(data: Path, tmp_path: Path) -> None:
    pictures = [bytes([place]) * 50_000 for place in range(len(CLASSES) * 12)]
    rows = asked(data, False)
    wanted = sorted((row["photo"], row["question"]) for row in rows)
    write(tmp_path / "train.parquet", pictures, rows)
    table = pq.read_table(tmp_path / "train.parquet").to_pylist()
    assert sorted((row["image"][0], row["question"]) for row in table) == wanted
    assert (tmp_path / "train.parquet").stat().st_size < 1.2 * sum(map(len, pictures))
