"""What a graph loses and gains by comparing vectors of real photos by fewer numbers than they have.

Photos of groceries, clothes and everyday scenes, each with all of its views by the base bundle, are looked for by
names, descriptions and sentences. ``kept_95``: as many principal axes as have 95 % of the vectors, which is what an
index does; ``kept_100``: all numbers. All are made with the same links and asked in turns, with the same effort.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _index_parts import VectorModel, recall
from _record import record
from _vectors import Floats

from open_autoglm import Index, Model, load
from open_autoglm.runtime.engine import available_cores
from open_autoglm.search.building import build
from open_autoglm.search.frozen import FILE
from open_autoglm.search.graph import Width

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
PHOTOS = ("coco128/dev", "clothing/dev", "grocery/train", "grocery/val")
KEPT = (0.90, 0.95, 0.98, 1.0)
SENTENCES = 150  # of NLVR, which are about something else
K = 10
ROUNDS = 5
QUICK = 12  # every twelfth photo


def main() -> None:
    """Measures each number of axes and records one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every twelfth photo")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with coco128, clothing, grocery and nlvr")
    arguments = parser.parse_args()
    began = time.perf_counter()
    model, asked = load(), words(arguments.data)
    queries = model.embed_texts(asked)
    with tempfile.TemporaryDirectory() as folder:
        shelf = Path(folder) / "photos"
        shelf.mkdir()
        for number, photo in enumerate(photos(arguments.data)):
            if not arguments.quick or number % QUICK == 0:
                (shelf / f"{number:05}.jpg").write_bytes(photo)
        with Index.create(Path(folder) / "all.index", model) as index:
            index.add(shelf)
            ids = [record.id for record in index.sample(len(index))]
            vectors = index._store.vectors(ids)
        figures = {"photos": len(ids), "vectors": vectors.shape[0] * vectors.shape[1], "queries": len(asked)}
        figures |= compared(Path(folder), like(model, queries), best(queries, vectors, ids))
    settings = {"space": model.space, "dimension": model.dimension, "effort": Width().searching, "k": K}
    record("graph_numbers", settings | {"quick": arguments.quick}, figures, time.perf_counter() - began)


def photos(data: Path) -> Iterator[bytes]:
    """The files of all photos."""
    for name in PHOTOS:
        for image in pq.read_table(data / f"{name}.parquet", columns=["image"])["image"].to_pylist():
            yield image["bytes"] if isinstance(image, dict) else image


def words(data: Path) -> list[str]:
    """Names of things and their descriptions, and sentences about something else."""
    classes = pq.read_table(data / "grocery/classes.parquet", columns=["fine", "description"])
    boxes = pq.read_table(data / "coco128/dev.parquet", columns=["boxes"])["boxes"].to_pylist()
    things = sorted({box[0] for photo in boxes for box in json.loads(photo)})
    sentences = pq.read_table(data / "nlvr/dev.parquet", columns=["sentence"])["sentence"].to_pylist()
    named = classes["fine"].to_pylist() + classes["description"].to_pylist() + things
    return list(dict.fromkeys(named + sorted(set(sentences))[:SENTENCES]))


def like(model: Model, queries: Floats) -> VectorModel:
    """Takes the text ``17`` for the vector of the query number 17, in the space and with the views of a model."""
    named = VectorModel(queries)
    named.space, named.views = model.space, model.views  # type: ignore[misc]
    return named


def best(queries: Floats, vectors: Floats, ids: list[int]) -> np.ndarray:
    """The ids [q, k] whose best view is nearest, by comparing all."""
    scores = np.stack([(vectors @ query).max(axis=1) for query in queries])
    return np.array(ids)[np.argsort(-scores, axis=1)[:, :K]]


def compared(folder: Path, model: VectorModel, wanted: np.ndarray) -> dict[str, float]:
    """The figures of each number of axes, asked in turns."""
    figures: dict[str, float] = {}
    opened: dict[str, Index] = {}
    for kept in KEPT:
        name = f"kept_{round(100 * kept)}"
        path = shutil.copytree(folder / "all.index", folder / f"{name}.index")
        before = time.perf_counter()
        build(path, replace(Width(), kept=kept), available_cores(), lambda done, total: None)
        figures[f"{name}_build_s"] = time.perf_counter() - before
        figures[f"{name}_map_mb"] = (path / FILE).stat().st_size / 1e6
        opened[name] = Index.open(path, model)  # type: ignore[arg-type]
        figures[f"{name}_numbers"] = opened[name].check(queries=0).numbers
    seconds: dict[str, list[float]] = {name: [] for name in opened}
    for _ in range(ROUNDS):
        for name, index in opened.items():
            before = time.perf_counter()
            found = [[hit.id for hit in index.search(str(number), k=K, cut=False)] for number in range(len(wanted))]
            seconds[name].append(time.perf_counter() - before)
            figures[f"{name}_recall"] = recall(found, wanted)
    for name, index in opened.items():
        figures[f"{name}_per_s"] = len(wanted) / float(np.median(seconds[name]))
        index.close()
    return figures


if __name__ == "__main__":
    main()
