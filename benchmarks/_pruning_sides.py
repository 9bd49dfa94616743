"""What the benchmark of pruning calibrates on, and how it measures a bundle beside the full one."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from open_autoglm.bundle import WEIGHTS, Bundle
from open_autoglm.runtime.engine import Engine

TEMPLATES = (
    "{}",
    "a photo of a {}",
    "a picture of the {}",
    "there is a {} in the picture",
    "a close-up of a {}",
    "two {} on a table",
)
TOKENS = 12


def photos_of(groceries: Path, split: str) -> list[bytes]:
    """The encoded photos of a split."""
    found: list[bytes] = pq.read_table(groceries / f"{split}.parquet", columns=["image"])["image"].to_pylist()
    return found


def sentences(bundle: Bundle, groceries: Path, count: int, seed: int) -> list[str]:
    """The names that a bundle knows in many wordings, and sentences that describe products."""
    names = (bundle.path / "vocabulary.txt").read_text(encoding="utf-8").split("\n")
    worded = [template.format(name) for template in TEMPLATES for name in names if name]
    described = pq.read_table(groceries / "classes.parquet", columns=["description"])["description"].to_pylist()
    told = [sentence.strip() for text in described for sentence in text.split(".") if len(sentence.split()) > 3]
    random = np.random.default_rng(seed)
    return [str(one) for one in random.permutation(np.array(worded + told))[:count]]


def times_faster(full: Bundle, less: Bundle, graph: str, rounds: int) -> float:
    """The median of the full bundle's time over the other's, on one picture or sentence, run in turn."""
    engines = [Engine(bundle, bundle.graph(graph), threads=1) for bundle in (full, less)]
    given = inputs(full, graph)
    ratios = []
    for number in range(rounds + 2):
        full_time, less_time = (seconds(engine, given) for engine in engines)
        if number >= 2:
            ratios.append(full_time / less_time)
    return float(np.median(ratios))


def inputs(bundle: Bundle, graph: str) -> dict[str, NDArray[Any]]:
    """One picture, or one sentence."""
    random = np.random.default_rng(0)
    if graph == "image":
        size = bundle.manifest.preprocessing["image"]
        return {"pixels": random.integers(0, 256, (1, size["height"], size["width"], 3), dtype=np.uint8)}
    return {"input_ids": random.integers(1000, 20000, (1, TOKENS)), "attention_mask": np.ones((1, TOKENS), np.int64)}


def seconds(engine: Engine, given: dict[str, NDArray[Any]]) -> float:
    """How long one run takes; the mean of a few where it is short."""
    start, runs = time.perf_counter(), 0
    while runs == 0 or time.perf_counter() - start < 0.02:
        engine.run(**given)
        runs += 1
    return (time.perf_counter() - start) / runs


def size_mb(bundle: Bundle) -> float:
    """Megabytes of all its files."""
    return sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file()) / 1e6


def deflated_mb(bundle: Bundle) -> float:
    """Megabytes of the weights, compressed by deflate at its usual level."""
    packer = zlib.compressobj()
    return sum(len(packer.compress(part)) for part in read(bundle.path / WEIGHTS)) / 1e6 + len(packer.flush()) / 1e6


def read(path: Path) -> Iterator[bytes]:
    """A file, a megabyte at a time."""
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            yield part
