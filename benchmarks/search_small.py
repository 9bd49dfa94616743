"""How long one search by text takes over 10,000 pictures, embedding the text included, with the shipped bundle."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from _record import record
from PIL import Image

import open_autoglm
from open_autoglm.search import Index
from open_autoglm.search.rows import Content, FileState

PICTURES = 10_000
SEARCHES = 200
SOURCES = 32  # pictures truly embedded; the others are these with a little noise
NOISE = 0.02
SUBJECTS = ["a dog", "a red car", "people at a table", "the sea at night", "a bowl of fruit", "a cat asleep", "a train"]
PLACES = ["", " in the rain", " on a wooden floor", " seen from above", " next to a window", " in black and white"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer searches, for a look")
    quick = parser.parse_args().quick
    started = time.perf_counter()
    searches = 50 if quick else SEARCHES
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "small.index"
        build(path)
        figures = measure(path, searches)
    settings = {"pictures": PICTURES, "searches": searches, "k": 10, "quick": quick}
    record("search_small", settings, figures, time.perf_counter() - started)


def build(path: Path) -> None:
    """An index of 10,000 records whose vectors are real ones, repeated with noise."""
    model = open_autoglm.load()
    rng = np.random.default_rng(0)
    vectors = model.embed_prepared(np.stack([model.prepare(picture) for picture in pictures(rng)]))
    with Index.create(path, model) as index:
        for start in range(0, PICTURES, 500):
            chosen = vectors[rng.integers(len(vectors), size=500)]
            noisy = chosen + NOISE * rng.standard_normal(chosen.shape, np.float32)
            noisy /= np.linalg.norm(noisy, axis=-1, keepdims=True)
            with index._store.transaction():
                for number, vector in enumerate(noisy.astype(np.float16), start):
                    state = FileState(f"/photos/{number:05}.jpg".encode(), 100_000, number * 10**9)
                    id = index._store.insert(state, Content(rng.bytes(32), 640, 480, vector.tobytes()))
                    index._store.set_metadata(id, {"price": number % 100})


def pictures(rng: np.random.Generator) -> list[Image.Image]:
    """The sample pictures, or drawn ones where there are none."""
    paths = sorted((Path(__file__).parent.parent / "samples").rglob("*.jpg"))[:SOURCES]
    if paths:
        return [Image.open(path) for path in paths]
    blocks = rng.integers(0, 256, (SOURCES, 12, 16, 3), dtype=np.uint8)
    return [Image.fromarray(block).resize((640, 480), Image.Resampling.BICUBIC) for block in blocks]


def measure(path: Path, searches: int) -> dict[str, float]:
    """Milliseconds of a search, by text and with a filter, and what the first one costs."""
    queries = [subject + place for subject in SUBJECTS for place in PLACES]
    with Index.open(path) as index:
        (first,) = timed(index, queries[:1])
        plain = timed(index, [queries[number % len(queries)] for number in range(searches)])
        filtered = timed(index, [queries[number % len(queries)] for number in range(searches)], "price < 10")
        similar = []
        for id in range(1, searches + 1):
            before = time.perf_counter()
            index.search(like=id)
            similar.append(1000 * (time.perf_counter() - before))
        index_bytes = index.info()["bytes"]
    return {
        "p50_ms": np.percentile(plain, 50),
        "p95_ms": np.percentile(plain, 95),
        "filtered_p95_ms": np.percentile(filtered, 95),
        "similar_p95_ms": np.percentile(similar, 95),
        "first_search_ms": first,
        "index_mb": index_bytes / 2**20,
    }


def timed(index: Index, queries: list[str], where: str | None = None) -> list[float]:
    """Milliseconds of each search."""
    times = []
    for query in queries:
        before = time.perf_counter()
        hits = index.search(query, where=where, cut=False)
        times.append(1000 * (time.perf_counter() - before))
        assert len(hits) == 10
    return times


if __name__ == "__main__":
    main()
