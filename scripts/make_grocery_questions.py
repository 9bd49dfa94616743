"""Makes questions with answers about the photos of the Grocery Store Dataset, from its classes and shop information.

Where a question is answered by yes or no, as many photos answer it with yes as with no, in the same words: the question
alone says nothing. The test split is not read. Writes ``train.parquet`` and ``val.parquet``: image, question, answer,
kind, and whether the wording is one that no training question has.

    .venv/bin/python scripts/make_grocery_questions.py --data ../shared/data/grocery --to build/grocery-questions
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from open_autoglm.data.captions import as_words

# The last wording of each list is kept back: training does not see it, validation asks in all of them.
WHAT = (
    *("What is this?", "What is in the picture?", "Which product is this?", "What am I holding?"),
    *("What is it called?", "Name this product.", "What do you see?"),
    "What did I pick up?",
)
CATEGORY = (
    *("Which category?", "Which category is it?", "What category does this belong to?", "What type of food is it?"),
    *("What kind of grocery is this?", "Which shelf label does it go under?"),
    "What sort of grocery is it?",
)
GROUP = (
    *("Is it a fruit, a vegetable or a package?", "Fruit, vegetable or package?"),
    *("Which department: fruit, vegetables or packages?", "Fruit department, vegetable department or packages?"),
    "Is this fruit, vegetable or packaged food?",
)
IS_IT = (
    *("Is this {}?", "Is it {}?", "Is that {} in the picture?", "This is {}.", "Does the photo show {}?"),
    *("Am I holding {}?", "The picture shows {}.", "Can you see {}?"),
    "Would you call this {}?",
)
ORGANIC = (
    *("Is it organic?", "Is this organic?", "This is organically grown or made.", "Is it ecological?"),
    "Is it an organic product?",
)
COUNTRY = (
    *("Where does it come from?", "Which country is it from?", "What is the country of origin?", "Where is it from?"),
    *("Where was it grown or made?", "In which country was it produced?"),
    "Which country does this come from?",
)
BRAND = (
    *("Which brand is it?", "What brand is this?", "Who makes it?", "Who is the manufacturer?"),
    *("What company makes this?", "What is the brand name?"),
    "Which company is it from?",
)
VOLUME = (
    *("How much is in the package?", "How large is the package?", "What is the volume or weight?"),
    *("How big is it?", "What does the package hold?"),
    "How much does the package hold?",
)
FAT = (
    *("How much fat is in 100 g?", "How much fat does it have?", "What is its fat content?"),
    *("How many grams of fat?", "How much fat per 100 g?"),
    "How fatty is it?",
)
SUGAR = (
    *("How much sugar is in 100 g?", "How much sugar does it have?", "What is its sugar content?"),
    *("How many grams of sugar?", "How much sugar per 100 g?"),
    "How sugary is it?",
)

DRINKS = {"Juice", "Milk", "Oat-Milk", "Soy-Milk"}
BETWEEN = {"Sour-Milk"}  # drunk by some and eaten with a spoon by others: not asked about
DAIRY = {"Milk", "Sour-Cream", "Sour-Milk", "Yoghurt"}
CITRUS = {"Lemon", "Lime", "Orange", "Red-Grapefruit", "Satsumas"}
GROUPS = {"Fruit": "fruit", "Vegetables": "vegetable", "Packages": "package"}
SWEDISH = {"Sverige": "Sweden"}


@dataclass(frozen=True)
class Product:
    """A class: its names, its group by the data set's folders, and what the shop says of it (None: nothing)."""

    fine: str
    coarse: str
    group: str
    organic: bool
    country: str | None
    brand: str | None
    volume: str | None
    fat: str | None
    sugar: str | None

    @property
    def name(self) -> str:
        return as_words(self.fine)

    @property
    def category(self) -> str:
        return as_words(self.coarse)


Truth = Callable[[Product], bool | None]
THINGS: dict[str, Truth] = {
    "a fruit": lambda one: one.group == "fruit",
    "a vegetable": lambda one: one.group == "vegetable",
    "a packaged product": lambda one: one.group == "package",
    "a drink": lambda one: None if one.coarse in BETWEEN else one.coarse in DRINKS,
    "a dairy product": lambda one: one.coarse in DAIRY,
    "a citrus fruit": lambda one: one.coarse in CITRUS,
}
OPEN: dict[str, tuple[Sequence[str], Callable[[Product], str | None], int]] = {
    "what": (WHAT, lambda one: one.name, 2),
    "category": (CATEGORY, lambda one: one.category, 2),
    "group": (GROUP, lambda one: one.group, 1),
    "country": (COUNTRY, lambda one: one.country, 1),
    "brand": (BRAND, lambda one: one.brand, 1),
    "volume": (VOLUME, lambda one: one.volume, 1),
    "fat": (FAT, lambda one: one.fat, 1),
    "sugar": (SUGAR, lambda one: one.sugar, 1),
}
"""By kind: wordings, the answer, and how many a photo."""


def main() -> None:
    """Reads both splits and writes their questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train, val and classes.parquet")
    parser.add_argument("--to", type=Path, default=Path("build/grocery-questions"), help="folder to write")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.to.mkdir(parents=True, exist_ok=True)
    products = catalogue(arguments.data)
    for number, split in enumerate(("train", "val")):
        photos = pq.read_table(arguments.data / f"{split}.parquet", columns=["image", "fine_id"]).to_pylist()
        asked = Asked([products[photo["fine_id"]] for photo in photos], split == "val", [arguments.seed, number])
        write(arguments.to / f"{split}.parquet", [photo["image"] for photo in photos], list(asked.all()))
        print(f"{arguments.to / split}.parquet: {len(asked.seen):,} questions about {len(photos):,} photos")


def catalogue(data: Path) -> dict[int, Product]:
    """The classes by number."""
    paths = pq.read_table(data / "train.parquet", columns=["path", "fine_id"]).to_pylist()
    groups = {row["fine_id"]: GROUPS[row["path"].split("/")[1]] for row in paths}
    columns = ["fine_id", "fine", "coarse", "description", "information"]
    rows = pq.read_table(data / "classes.parquet", columns=columns).to_pylist()
    return {row["fine_id"]: product(row, groups[row["fine_id"]]) for row in rows}


def product(row: dict[str, Any], group: str) -> Product:
    """A class with what can be read from the shop's page, which is partly Swedish."""
    page: str = row["information"]

    def find(pattern: str) -> str | None:
        found = re.search(pattern, page)
        return found[1].strip() if found else None

    def grams(pattern: str) -> str | None:
        found = find(rf"(?m)^ *(?:{pattern}) ?ca ([\d.]+) gram")
        return f"{round(2 * float(found)) / 2:g} g" if found else None

    country = find(r"(?:Country|Manufacturing country)[^:\n]*: *([^,\n]+)")
    volume = find(r"Manufacturer and volume:[^,\n]*,\s*(\d+[a-z]+)")
    return Product(
        row["fine"],
        row["coarse"],
        group,
        re.search(r"ecolog|ekolog|organic", f"{row['fine']} {page}", re.IGNORECASE) is not None,
        SWEDISH.get(country, country) if country else None,
        brand(as_words(row["fine"]), find(r"Manufacturer and volume: *([^,\n]+)") or ""),
        re.sub(r"(\d)([a-z])", r"\1 \2", volume) if volume else None,
        grams("fett|fat"),
        grams("varav sockerarter|of which sugars"),
    )


def brand(name: str, maker: str) -> str | None:
    """The words that a product's name and its maker's name begin with alike."""
    shared = []
    for word, other in zip(name.split(), maker.split(), strict=False):
        if word.casefold() != other.casefold():
            break
        shared.append(word)
    return " ".join(shared) or None


class Asked:
    """The questions about a split's photos, ``shown`` being the product of each."""

    def __init__(self, shown: Sequence[Product], all_wordings: bool, seed: Sequence[int]) -> None:
        self.shown, self.all_wordings = shown, all_wordings
        self.random = np.random.default_rng(seed)
        self.seen: set[tuple[int, str]] = set()

    def all(self) -> Iterator[dict[str, Any]]:
        """Rows without pictures: ``photo``, its place, instead."""
        for kind, (wordings, answer, count) in OPEN.items():
            for photo, product in enumerate(self.shown):
                if (text := answer(product)) is not None:
                    for wording in self.wordings(wordings, count):
                        yield from self.row(photo, wording, wording, text, kind, wordings)
        for name in sorted({product.name for product in self.shown}):
            yield from self.balanced(name, "is it this product", IS_IT, lambda one, name=name: one.name == name, 2)
        for category in sorted({product.category for product in self.shown}):
            truth: Truth = lambda one, category=category: one.category == category  # noqa: E731
            yield from self.balanced(category, "is it this category", IS_IT, truth, 1)
        for thing, truth in THINGS.items():
            yield from self.balanced(thing, "is it such a thing", IS_IT, truth, 1)
        yield from self.balanced("", "is it organic", ORGANIC, lambda one: one.organic, 1)

    def balanced(
        self, name: str, kind: str, wordings: Sequence[str], truth: Truth, count: int
    ) -> Iterator[dict[str, Any]]:
        """Pairs of photos that are asked the same, one of which answers yes and the other no, half the time nearly."""
        true = [photo for photo, product in enumerate(self.shown) if truth(product) is True]
        false = [photo for photo, product in enumerate(self.shown) if truth(product) is False]
        most = min(len(true), len(false), len(self.shown) // 4)
        near = self.near(false, true)
        for yes in self.random.permutation(true)[:most].tolist():
            for wording in self.wordings(wordings, count):
                question = wording.format(name)
                pool = near if near and self.random.random() < 0.5 else false
                free = [photo for photo in pool if (photo, question) not in self.seen]
                if (yes, question) in self.seen or not free:
                    continue
                no = int(self.random.choice(free))
                yield from self.row(yes, question, wording, "yes", kind, wordings)
                yield from self.row(no, question, wording, "no", kind, wordings)

    def near(self, false: Sequence[int], true: Sequence[int]) -> list[int]:
        """Those that are easily mistaken: of a category that also answers yes, or else of such a group."""
        for level in ("coarse", "group"):
            levels = {getattr(self.shown[photo], level) for photo in true}
            if found := [photo for photo in false if getattr(self.shown[photo], level) in levels]:
                return found
        return []

    def wordings(self, known: Sequence[str], count: int) -> list[str]:
        """Some of those that this split may use."""
        return self.random.permutation(known if self.all_wordings else known[:-1])[:count].tolist()

    def row(
        self, photo: int, question: str, wording: str, answer: str, kind: str, known: Sequence[str]
    ) -> Iterator[dict[str, Any]]:
        """A row, unless the photo was asked this before."""
        if (photo, question) not in self.seen:
            self.seen.add((photo, question))
            yield {
                "photo": photo,
                "question": question,
                "answer": answer,
                "kind": kind,
                "new_wording": wording == known[-1],
            }


def write(path: Path, pictures: Sequence[bytes], rows: Sequence[dict[str, Any]]) -> None:
    """The rows by photo, each picture stored once."""
    ordered = sorted(rows, key=lambda row: row["photo"])
    places = pa.array([row.pop("photo") for row in ordered], pa.int32())
    table = pa.Table.from_pylist(ordered)
    images = pa.DictionaryArray.from_arrays(places, pa.array(pictures, pa.binary())).cast(pa.binary())
    table = table.add_column(0, "image", images)
    pq.write_table(table, path, use_dictionary=True, dictionary_pagesize_limit=2**30, row_group_size=len(rows))


if __name__ == "__main__":
    main()
