"""Groceries named in words: the trained bundle on the test split of the Grocery Store Dataset.

A photo's class is the nearest of the 81 texts ``fine, coarse`` in the shared space, without a classifier of its own;
its coarse class is that text's. Descriptions are also searched for among all test photos. ``recipes/grocery.yaml``
trains the bundle on the train split alone.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _record import record

import open_autoglm
from open_autoglm.data.captions import as_words
from open_autoglm.evaluation.retrieval import retrieval
from open_autoglm.runtime.similarity import cosine

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "grocery"
QUICK = 10  # every tenth photo


def main() -> None:
    """Classifies the photos, searches for the descriptions, and records both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every tenth photo")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with test.parquet and classes.parquet")
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--model", default="open-autoglm-grocery")
    arguments = parser.parse_args()
    began = time.perf_counter()
    model = open_autoglm.load(arguments.model)
    figures = groceries(model, arguments.data, arguments.split, QUICK if arguments.quick else 1)
    record("grocery", {"model": model.space, "split": arguments.split}, figures, time.perf_counter() - began)


def groceries(model: open_autoglm.Model, data: Path, split: str, every: int = 1) -> dict[str, float]:
    """Classifies every so many photos of a split, and searches for the descriptions among them."""
    columns = ["fine_id", "fine", "coarse_id", "coarse", "description"]
    classes = pq.read_table(data / "classes.parquet", columns=columns).sort_by("fine_id").to_pylist()
    photos = pq.read_table(data / f"{split}.parquet").to_pylist()[::every]
    fine, coarse = (np.array([photo[kind] for photo in photos]) for kind in ("fine_id", "coarse_id"))
    pictures = model.embed_images([photo["image"] for photo in photos])
    names = model.embed_texts([f"{as_words(one['fine'])}, {as_words(one['coarse'])}" for one in classes])
    nearest = cosine(names, pictures).argmax(axis=0)
    order = np.argsort(-cosine(model.embed_texts([one["description"] for one in classes]), pictures), axis=1)
    found = retrieval(
        [row.tolist() for row, one in zip(order, classes, strict=True) if one["fine_id"] in fine],
        [set(np.flatnonzero(fine == one["fine_id"]).tolist()) for one in classes if one["fine_id"] in fine],
    )
    return {
        "photos": float(len(photos)),
        "fine_accuracy": float((nearest == fine).mean()),
        "coarse_accuracy": float((np.array([one["coarse_id"] for one in classes])[nearest] == coarse).mean()),
        "description_to_photo_map": found.mean_average_precision,
    }


if __name__ == "__main__":
    main()
