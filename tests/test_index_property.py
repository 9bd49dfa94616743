"""Exact search is exact: whatever is added, changed and deleted, it agrees with comparing one by one."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from index_parts import DIMENSION, ColourModel, make

from open_autoglm.search import Index
from open_autoglm.search.rows import Content, FileState
from open_autoglm.search.scan import absolute

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 12)),
        st.tuples(st.just("change"), st.integers(0, 30)),
        st.tuples(st.just("delete"), st.integers(0, 30)),
        st.tuples(st.just("search"), st.integers(1, 40)),
    ),
    min_size=1,
    max_size=25,
)


class Mirror:
    """An index written to through its store, and the same vectors in a dictionary."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.model = ColourModel()
        self.index = make(folder, self.model)
        self.vectors: dict[int, np.ndarray] = {}

    def content(self) -> tuple[Content, np.ndarray]:
        vectors = self.rng.normal(size=(self.model.views, DIMENSION))
        halves = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float16)
        return Content(self.rng.bytes(32), 10, 10, halves.tobytes()), halves.astype(np.float64)

    def add(self, count: int) -> None:
        store = self.index._store
        with store.transaction():
            for _ in range(count):
                content, vectors = self.content()
                key = absolute(f"/nowhere/{self.rng.integers(2**62)}.png").encode()
                self.vectors[store.insert(FileState(key, 1, 1), content)] = vectors

    def change(self, number: int) -> None:
        if not self.vectors:
            return
        id = sorted(self.vectors)[number % len(self.vectors)]
        content, self.vectors[id] = self.content()
        state = FileState(str(id).encode(), 2, 2)
        with self.index._store.transaction():
            self.index._store.replace(id, state, content)

    def delete(self, number: int) -> None:
        if self.vectors:
            id = sorted(self.vectors)[number % len(self.vectors)]
            assert self.index.delete(id) == 1
            del self.vectors[id]

    def search(self, k: int) -> None:
        query = self.rng.normal(size=DIMENSION).astype(np.float32)
        query /= np.linalg.norm(query)
        self.model.embed_texts = lambda texts: query[None]  # type: ignore[method-assign]
        where = "id % 2 = 0" if k % 3 == 0 else None
        allowed = {id: vectors for id, vectors in self.vectors.items() if where is None or id % 2 == 0}
        expected = {id: float((vectors @ query).max()) for id, vectors in allowed.items()}
        for index in (self.index, Index.open(self.index._store.path, self.model)):
            self.compare(expected, {hit.id: hit.score for hit in index.search("any", k=k, where=where, cut=False)}, k)

    def compare(self, expected: dict[int, float], found: dict[int, float], k: int) -> None:
        assert len(found) == min(k, len(expected))
        assert list(found.values()) == sorted(found.values(), reverse=True)
        assert all(abs(score - expected[id]) < 1e-5 for id, score in found.items())
        left = [score for id, score in expected.items() if id not in found]
        assert not left or max(left) <= min(found.values()) + 1e-5


@settings(max_examples=25, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 2**32 - 1))
def test_search_agrees_with_brute_force_whatever_happened_before(steps: list[tuple[str, int]], seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        mirror = Mirror(Path(folder), seed)
        for step, number in [*steps, ("search", 5)]:
            getattr(mirror, step)(number)
        assert len(mirror.index) == len(mirror.vectors)
        mirror.index.close()
