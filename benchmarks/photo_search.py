"""Photo search through the index, and zero-shot classification, with the shipped base bundle.

COCO photos (``coco128/dev``): each category name as a query ``a photo of a {}``, all photos ranked, nothing cut.
Clothing photos (``clothing/dev``): the nearest of the ten class names. Also says what the relevance cut lets through.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from _record import record

import open_autoglm
from open_autoglm.bundle import amend
from open_autoglm.evaluation.retrieval import retrieval
from open_autoglm.runtime.similarity import cosine

DATA = Path(__file__).parent.parent.parent / "shared" / "data"


def main() -> None:
    """Measures both tasks and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same: it takes under two minutes")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with coco128/ and clothing/")
    parser.add_argument("--model", default="open-autoglm-base")
    parser.add_argument("--stamp", action="store_true", help="write the figures into the bundle's manifest")
    arguments = parser.parse_args()
    began = time.perf_counter()
    model = open_autoglm.load(arguments.model)
    figures = photos(model, arguments.data / "coco128" / "dev.parquet")
    figures |= clothing(model, arguments.data / "clothing" / "dev.parquet")
    if arguments.stamp:
        rounded = {name: round(value, 4) for name, value in figures.items()}
        amend(model.bundle.path, quality={"photo_search": rounded})
    record("photo_search", {"model": model.space}, figures, time.perf_counter() - began)


def photos(model: open_autoglm.Model, source: Path) -> dict[str, float]:
    """Ranks the photos for every category that occurs in them, through an index on disk."""
    rows = pq.read_table(source, columns=["file", "boxes", "image"]).to_pylist()
    shown = {row["file"]: {box[0] for box in json.loads(row["boxes"])} for row in rows}
    categories = sorted(set().union(*shown.values()))
    rankings, relevant, kept = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "photos"
        pictures.mkdir()
        for row in rows:
            (pictures / row["file"]).write_bytes(row["image"])
        with open_autoglm.Index.create(Path(folder) / "photos.index", model) as index:
            index.add(pictures)
            ids: dict[str, int] = {}
            for category in categories:
                query = f"a photo of a {category}"
                hits = index.search(query, k=len(rows), cut=False)
                ids |= {Path(hit.path).name: hit.id for hit in hits}
                rankings.append([hit.id for hit in hits])
                relevant.append({ids[file] for file, names in shown.items() if category in names})
                kept.append({hit.id for hit in index.search(query, k=len(rows))})
    metrics = retrieval(rankings, relevant)
    right = sum(len(found & wanted) for found, wanted in zip(kept, relevant, strict=True))
    return {
        "coco128_categories": len(categories),
        "coco128_map": metrics.mean_average_precision,
        "coco128_p_at_1": metrics.precision_at_1,
        "coco128_cut_precision": right / max(sum(map(len, kept)), 1),
        "coco128_cut_recall": right / sum(map(len, relevant)),
    }


def clothing(model: open_autoglm.Model, source: Path) -> dict[str, float]:
    """The share of clothing photos whose nearest class name is their own."""
    rows: list[dict[str, Any]] = pq.read_table(source).to_pylist()
    labels = sorted({row["label"] for row in rows})
    queries = model.embed_texts([model.template.format(label) for label in labels])
    nearest = cosine(queries, model.embed_images([row["image"] for row in rows])).argmax(axis=0)
    return {
        "clothing_zero_shot": float(np.mean([labels[i] == row["label"] for i, row in zip(nearest, rows, strict=True)]))
    }


if __name__ == "__main__":
    main()
