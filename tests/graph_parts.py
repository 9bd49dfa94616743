"""What the tests of the graph share: a model whose texts name vectors, and indexes filled with those."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from index_parts import DIMENSION, ColourModel

from open_autoglm.runtime.similarity import Queries
from open_autoglm.search import Index, frozen, upkeep
from open_autoglm.search.rows import Content, FileState

QUERIES = 60


class VectorModel(ColourModel):
    """Understands the texts ``0``, ``1``, ...: each is a vector far from those of pictures."""

    def __init__(self, views: int = 1, space: str = "vectors-1") -> None:
        super().__init__(space)
        self.views = views
        self.queries = unit(np.random.default_rng(99).normal(0.3, 1, (QUERIES, DIMENSION)))

    def embed_queries(self, texts: Sequence[str]) -> Queries:
        return Queries(self.queries[[int(text) for text in texts]])


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors at unit length."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def some_vectors(count: int, views: int = 1, seed: int = 0) -> np.ndarray:
    """Vectors [count, views, d] in clusters, on one side of the sphere."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (40, DIMENSION)) + np.eye(DIMENSION)[0] * 2
    around = centres[rng.integers(40, size=count), None] + 0.7 * rng.normal(0, 1, (count, views, DIMENSION))
    return unit(around).astype(np.float16)


def fill(index: Index, vectors: np.ndarray, start: int = 0) -> list[int]:
    """Stores pictures with these vectors, one row each; their ids. The metadata's ``number`` counts from ``start``."""
    store = index._store
    ids = []
    with store.transaction():
        for number, one in enumerate(vectors, start):
            digest = np.random.default_rng(number).bytes(32)
            ids.append(
                store.insert(FileState(f"/nowhere/{number}.png".encode(), 1, 1), Content(digest, 9, 9, one.tobytes()))
            )
            store.set_metadata(ids[-1], {"number": number})
    return ids


def best_of(query: np.ndarray, vectors: np.ndarray, ids: Sequence[int], k: int = 10) -> list[int]:
    """The ids of the best, by comparing all."""
    scores = (vectors.astype(np.float32) @ query).max(axis=1).astype(np.float64).round(6)
    order = np.lexsort((ids, -scores))[:k]
    return [ids[row] for row in order]


def recall(
    index: Index, model: VectorModel, vectors: np.ndarray, ids: Sequence[int], where: str | None = None
) -> float:
    """recall@10 over all queries."""
    found = wanted = 0
    for number, query in enumerate(model.queries):
        best = set(best_of(query, vectors, ids))
        found += len(best & {hit.id for hit in index.search(str(number), cut=False, where=where)})
        wanted += len(best)
    return found / wanted


@pytest.fixture
def small_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs from 500 vectors on, and never a comparison of all where a graph can answer."""
    monkeypatch.setattr(upkeep, "EXACT_VECTORS", 500)
    monkeypatch.setattr(upkeep, "MOST_NEWER", 400)
    monkeypatch.setattr(frozen, "FEW", 0)
    monkeypatch.setattr(frozen, "GRAPH_COST", 0)


def made(folder: Path, model: VectorModel, vectors: np.ndarray) -> tuple[Index, list[int]]:
    """An index of these vectors with a graph, and their ids."""
    index = Index.create(folder / "vectors.index", model)  # type: ignore[arg-type]
    ids = fill(index, vectors)
    assert index.optimize()
    return index, ids
