"""Recall of searches with filters that keep half of the pictures, a tenth, a hundredth and a thousandth.

Filters are blind to what pictures show (``number``), or go with it (``rank``: pictures in order along a direction, so
that a filter keeps one corner of them all). Measured on a fresh graph, after 30 % of the pictures were deleted and
added again, and after the graph was made anew.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _index_parts import VectorModel, best_rows, fill, recall
from _record import record
from _vectors import Floats, World

from open_autoglm.search import Index

DIMENSION, K = 512, 10
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)


def main() -> None:
    """Measures every cell and records them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 vectors and fewer queries, for a look")
    parser.add_argument("--vectors", type=int, help="how many; 200,000 otherwise")
    arguments = parser.parse_args()
    began = time.perf_counter()
    count = arguments.vectors or (20_000 if arguments.quick else 200_000)
    asked = 50 if arguments.quick else 200
    world = World.make(DIMENSION)
    vectors, queries = world.pictures(count, seed=1), world.queries(asked, seed=2)
    figures: dict[str, float] = {"vectors": count}
    with tempfile.TemporaryDirectory() as folder:
        cells(Path(folder) / "filters.index", vectors.astype(np.float16), queries, figures)
    figures["worst_recall"] = min(value for name, value in figures.items() if name.endswith("recall"))
    settings = {"dimension": DIMENSION, "asked": asked, "k": K, "quick": arguments.quick}
    record("filters", settings, figures, time.perf_counter() - began)


def cells(path: Path, vectors: np.ndarray, queries: Floats, figures: dict[str, float]) -> None:
    """Fills an index, changes it, and measures after each step."""
    facts = {"number": np.random.default_rng(0).permutation(len(vectors)), "rank": ranks(vectors)}
    with Index.create(path, VectorModel(queries)) as index:  # type: ignore[arg-type]
        ids = fill(index, vectors, facts)
        index.optimize(again=True)
        measure(index, "fresh", vectors, queries, facts, ids, figures)
        changed = np.flatnonzero(facts["number"] % 10 < 3)
        index.delete(ids[changed].tolist())
        ids[changed] = fill(index, vectors[changed], {name: values[changed] for name, values in facts.items()})
        measure(index, "changed", vectors, queries, facts, ids, figures)
        while not index.optimize(again=True):  # the index is at it on its own
            time.sleep(1)
        measure(index, "remade", vectors, queries, facts, ids, figures)


def ranks(vectors: np.ndarray) -> np.ndarray:
    """The place [n] of each vector along a direction."""
    direction = np.random.default_rng(1).standard_normal(vectors.shape[1], np.float32)
    places = np.empty(len(vectors), np.int64)
    places[np.argsort(vectors.astype(np.float32) @ direction)] = np.arange(len(vectors))
    return places


def measure(
    index: Index,
    when: str,
    vectors: np.ndarray,
    queries: Floats,
    facts: dict[str, np.ndarray],
    ids: np.ndarray,
    figures: dict[str, float],
) -> None:
    """Recall and time with each filter."""
    for fact, values in facts.items():
        for share in SHARES:
            bound = round(share * len(vectors))
            kept = np.flatnonzero(values < bound)
            best = ids[kept][best_rows(queries, vectors[kept], min(K, len(kept)))]
            found, times = [], []
            for number in range(len(queries)):
                before = time.perf_counter()
                where = f"{fact} < {bound}" if share < 1 else None
                found.append([hit.id for hit in index.search(str(number), k=K, where=where, cut=False)])
                times.append(1000 * (time.perf_counter() - before))
            name = f"{when}_{fact}_{100 * share:g}"
            figures[f"{name}_recall"], figures[f"{name}_p50_ms"] = recall(found, best), float(np.median(times))
            print(
                f"{name:<24} recall {figures[f'{name}_recall']:.3f}  p50 {figures[f'{name}_p50_ms']:.2f} ms", flush=True
            )


if __name__ == "__main__":
    main()
