"""The graphs that ours is measured beside: each is made with its own best settings and asked with one thread."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from _index_parts import VectorModel, fill
from _vectors import Floats

from open_autoglm.search import Index

K = 10
LINKS, BUILDING = 32, 100
EFFORTS = (16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 768, 1024)
Found = list[int]


class Side(Protocol):
    """A graph over vectors, each found by its row; ``efforts`` are the ways to ask it, the quickest first."""

    efforts: tuple[int, ...]
    build_s: float

    def ask(self, number: int, query: Floats, effort: int) -> Found: ...

    def ask_all(self, first: int, queries: Floats, effort: int) -> list[Found]:
        """Several at once, on one thread; ``first`` is the number of the first."""
        ...

    def bytes(self) -> int:
        """What it takes on the disk."""
        ...


class Built(ABC):
    """Notes how long the making of a graph takes, without the storing of pictures; asks one by one."""

    efforts = EFFORTS
    build_s = 0.0

    @abstractmethod
    def ask(self, number: int, query: Floats, effort: int) -> Found:
        """As ``Side``."""

    def ask_all(self, first: int, queries: Floats, effort: int) -> list[Found]:
        """As ``Side``."""
        return [self.ask(number, query, effort) for number, query in enumerate(queries, first)]

    @contextmanager
    def building(self) -> Iterator[None]:
        """Times what is done inside."""
        began = time.perf_counter()
        yield
        self.build_s = time.perf_counter() - began


class Ours(Built):
    """The index itself, with records and all."""

    def __init__(self, folder: Path, vectors: Floats, queries: Floats, threads: int) -> None:
        self.path = folder / "ours.index"
        self.model = VectorModel(queries)
        self._open: Index | None = None
        if self.path.exists():
            return  # both ways to ask it share one index
        with Index.create(self.path, self.model) as index:  # type: ignore[arg-type]
            fill(index, vectors)
            with self.building():
                index.optimize(again=True)

    def ask(self, number: int, query: Floats, effort: int) -> Found:
        return [hit.id - 1 for hit in self._opened(effort).search(str(number), k=K, cut=False)]

    def _opened(self, effort: int) -> Index:
        """The index with an effort, once it has read its new map to its end in the background, as it does once."""
        if self._open is None:
            self._open = Index.open(self.path, self.model)  # type: ignore[arg-type]
            self._open.search("0", cut=False)
            while self._open._upkeep._work._checked is None:
                time.sleep(0.1)
        self._open._effort = effort
        return self._open

    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.iterdir())


class OursBare(Ours):
    """The same index asked as graphs are: a vector for ids and scores, without texts and records."""

    def ask(self, number: int, query: Floats, effort: int) -> Found:
        return self.ask_all(number, query[None], effort)[0]

    def ask_all(self, first: int, queries: Floats, effort: int) -> list[Found]:
        return (self._opened(effort).nearest(queries, K)[0] - 1).tolist()


class Faiss(Built):
    """faiss HNSW, in float or at 8 bits."""

    def __init__(self, folder: Path, vectors: Floats, queries: Floats, threads: int, kind: str = "float") -> None:
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(threads)
        dimension = vectors.shape[1]
        if kind == "float":
            self.index = faiss.IndexHNSWFlat(dimension, LINKS, faiss.METRIC_INNER_PRODUCT)
        else:
            scalar = faiss.ScalarQuantizer.QT_8bit
            self.index = faiss.IndexHNSWSQ(dimension, scalar, LINKS, faiss.METRIC_INNER_PRODUCT)
            self.index.train(vectors[:50_000])
        self.index.hnsw.efConstruction = BUILDING
        with self.building():
            self.index.add(vectors)
        self.file = folder / f"faiss-{kind}"
        faiss.write_index(self.index, str(self.file))
        faiss.omp_set_num_threads(1)
        self.parameters = faiss.SearchParametersHNSW()

    def ask(self, number: int, query: Floats, effort: int) -> Found:
        self.parameters.efSearch = effort
        return self.index.search(query[None], K, params=self.parameters)[1][0].tolist()

    def ask_all(self, first: int, queries: Floats, effort: int) -> list[Found]:
        self.parameters.efSearch = effort
        return self.index.search(queries, K, params=self.parameters)[1].tolist()

    def bytes(self) -> int:
        return self.file.stat().st_size


class Usearch(Built):
    """usearch, in half precision or at 8 bits."""

    def __init__(self, folder: Path, vectors: Floats, queries: Floats, threads: int, kind: str = "f16") -> None:
        from usearch.index import Index as Graph

        self.index = Graph(ndim=vectors.shape[1], metric="cos", dtype=kind, connectivity=LINKS, expansion_add=BUILDING)
        with self.building():
            self.index.add(np.arange(len(vectors), dtype=np.uint64), vectors, threads=threads)
        self.file = folder / f"usearch-{kind}"
        self.index.save(str(self.file))

    def ask(self, number: int, query: Floats, effort: int) -> Found:
        self.index.expansion_search = effort
        return self.index.search(query, K, threads=1).keys.tolist()

    def ask_all(self, first: int, queries: Floats, effort: int) -> list[Found]:
        self.index.expansion_search = effort
        return self.index.search(queries, K, threads=1).keys.tolist()

    def bytes(self) -> int:
        return self.file.stat().st_size


class Hnswlib(Built):
    """hnswlib, in float."""

    def __init__(self, folder: Path, vectors: Floats, queries: Floats, threads: int) -> None:
        import hnswlib

        self.index = hnswlib.Index("ip", vectors.shape[1])
        self.index.init_index(len(vectors), ef_construction=BUILDING, M=LINKS)
        with self.building():
            self.index.add_items(vectors, num_threads=threads)
        self.file = folder / "hnswlib"
        self.index.save_index(str(self.file))

    def ask(self, number: int, query: Floats, effort: int) -> Found:
        self.index.set_ef(max(effort, K))
        return self.index.knn_query(query, K, num_threads=1)[0][0].tolist()

    def ask_all(self, first: int, queries: Floats, effort: int) -> list[Found]:
        self.index.set_ef(max(effort, K))
        return self.index.knn_query(queries, K, num_threads=1)[0].tolist()

    def bytes(self) -> int:
        return self.file.stat().st_size


class Lance(Built):
    """LanceDB, IVF_HNSW_SQ with exact vectors for the best: its own way to hold many pictures."""

    def __init__(self, folder: Path, vectors: Floats, queries: Floats, threads: int) -> None:
        import lancedb
        import pyarrow as pa

        self.path = folder / "lance"
        width = vectors.shape[1]

        def parts() -> Any:
            for start in range(0, len(vectors), 50_000):
                part = vectors[start : start + 50_000]
                flat = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), width)
                ids = pa.array(np.arange(start, start + len(part)))
                yield pa.RecordBatch.from_arrays([ids, flat], names=["id", "vector"])

        schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), width))])
        self.table = lancedb.connect(self.path).create_table("pictures", parts(), schema=schema)
        with self.building():
            self.table.create_index(
                metric="cosine",
                vector_column_name="vector",
                index_type="IVF_HNSW_SQ",
                num_partitions=max(1, len(vectors) // 1_000_000),
                m=LINKS,
                ef_construction=BUILDING,
            )

    def ask(self, number: int, query: Floats, effort: int) -> Found:
        asked = self.table.search(query).select(["id", "_distance"]).limit(K).ef(max(effort, 2 * K)).refine_factor(2)
        return asked.to_arrow()["id"].to_pylist()

    def bytes(self) -> int:
        return sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())


SIDES: Mapping[str, Callable[[Path, Floats, Floats, int], Side]] = {
    "ours": Ours,
    "ours_bare": OursBare,
    "faiss": Faiss,
    "faiss_sq8": lambda *given: Faiss(*given, kind="sq8"),
    "usearch": Usearch,
    "usearch_i8": lambda *given: Usearch(*given, kind="i8"),
    "hnswlib": Hnswlib,
    "lancedb": Lance,
}
