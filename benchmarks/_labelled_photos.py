"""Collections of labelled photos, indexed with a model: COCO, clothing, and the groceries of the validation split."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq

import open_autoglm

Mask = np.ndarray


@dataclass(frozen=True)
class Collection:
    """An index of photos, their ``files``, and for each name of a thing which of them show it."""

    name: str
    index: open_autoglm.Index
    files: list[Path]
    shown: dict[str, Mask]

    def scores(self, query: object, **given: object) -> np.ndarray:
        """The score of each photo for a query, -inf for one that was not found."""
        scores = np.full(len(self.files), -np.inf)
        for hit in self.index.search(query, k=len(self.files), **given):  # type: ignore[arg-type]
            scores[hit.id - 1] = hit.score
        return scores


@contextmanager
def collections(model: open_autoglm.Model, data: Path, every: int = 1) -> Iterator[list[Collection]]:
    """All three, with every so many photos of the last two, as long as they are looked at."""
    with TemporaryDirectory() as folder:
        made = []
        for name, photos in _labelled(data, every).items():
            files = []
            (Path(folder) / name).mkdir()
            for number, (picture, _) in enumerate(photos):
                files.append(Path(folder) / name / f"{number:05}.jpg")
                files[-1].write_bytes(picture)
            index = open_autoglm.Index.create(Path(folder) / f"{name}.index", model)
            index.add(files)
            names = sorted(set().union(*(labels for _, labels in photos)))
            shown = {one: np.array([one in labels for _, labels in photos]) for one in names}
            made.append(Collection(name, index, files, shown))
        yield made
        for collection in made:
            collection.index.close()


def _labelled(data: Path, every: int) -> dict[str, list[tuple[bytes, set[str]]]]:
    coco = pq.read_table(data / "coco128" / "dev.parquet", columns=["image", "boxes"]).to_pylist()
    clothes = pq.read_table(data / "clothing" / "dev.parquet", columns=["image", "label"]).to_pylist()[::every]
    classes = pq.read_table(data / "grocery" / "classes.parquet", columns=["coarse_id", "coarse"]).to_pylist()
    coarse = {one["coarse_id"]: one["coarse"].replace("-", " ").lower() for one in classes}
    food = pq.read_table(data / "grocery" / "val.parquet", columns=["image", "coarse_id"]).to_pylist()[::every]
    return {
        "coco128": [(row["image"], {box[0] for box in json.loads(row["boxes"])}) for row in coco],
        "clothing": [(row["image"], {row["label"].lower()}) for row in clothes],
        "grocery": [(row["image"], {coarse[row["coarse_id"]]}) for row in food],
    }
