"""What the benchmarks of the index share: a model whose texts are vectors made up, and indexes filled with those."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _vectors import Floats

from open_autoglm.runtime.similarity import Cosine, Queries
from open_autoglm.search import Index
from open_autoglm.search.rows import Content, FileState

AT_ONCE = 5000


class VectorModel:
    """Takes the text ``17`` for the query vector number 17: what embedding costs is measured elsewhere."""

    name, space, views, batch_size = "vectors", "vectors-1", 1, 16
    bundle = SimpleNamespace(path=Path("vectors"))
    similarity = Cosine()

    def __init__(self, queries: Floats) -> None:
        self._queries = queries
        self.dimension = queries.shape[1]

    def embed_prepared(self, pixels: object) -> Floats:
        """Of no use here: pictures are stored as vectors."""
        raise NotImplementedError

    def embed_queries(self, texts: Sequence[str]) -> Queries:
        """The vectors that the texts name."""
        return Queries(self._queries[[int(text) for text in texts]])

    def cutoff(self, texts: Floats) -> Floats:
        """Scores [q] below which nothing matches: here all does."""
        return np.full(len(texts), -1, np.float32)


def fill(index: Index, vectors: np.ndarray, facts: Mapping[str, np.ndarray] | None = None) -> np.ndarray:
    """Stores vectors [n, d] as pictures, with the facts [n] of each; their ids [n]."""
    store, ids = index._store, np.empty(len(vectors), np.int64)
    for first in range(0, len(vectors), AT_ONCE):
        with store.transaction():
            for row, vector in enumerate(vectors[first : first + AT_ONCE].astype(np.float16), first):
                name = f"/photos/{row // 1000:05}/{row:08}-{len(vectors)}.jpg".encode()
                content = Content(row.to_bytes(32, "big"), 640, 480, vector.tobytes())
                ids[row] = store.insert(FileState(name, 100_000, row * 10**9), content)
                store.set_metadata(int(ids[row]), {name: int(values[row]) for name, values in (facts or {}).items()})
    return ids


def best_rows(queries: Floats, vectors: Floats, k: int = 10) -> np.ndarray:
    """The rows [q, k] of the best for each query, by comparing all."""
    scores = np.full((len(queries), k), -np.inf, np.float32)
    rows = np.zeros((len(queries), k), np.int64)
    for start in range(0, len(vectors), 50_000):
        part = queries @ vectors[start : start + 50_000].astype(np.float32).T
        scores = np.concatenate([scores, part], axis=1)
        rows = np.concatenate([rows, np.broadcast_to(np.arange(start, start + part.shape[1]), part.shape)], axis=1)
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, rows = np.take_along_axis(scores, best, 1), np.take_along_axis(rows, best, 1)
    return rows


def recall(found: Sequence[Sequence[int]], best: np.ndarray) -> float:
    """The share of the best that was found."""
    return float(np.mean([len(set(one) & set(row.tolist())) / len(row) for one, row in zip(found, best, strict=True)]))
