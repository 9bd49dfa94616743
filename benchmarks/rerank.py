"""Search in two stages: descriptions of groceries to photos, by alignment alone and with the best 50 looked at twice.

Both stages are the index's own, over the photos as files; the first one ranks all photos, the second one the first 50
of them. mAP is over all photos, latency of a search for ten. ``recipes/grocery-match.yaml`` trains the second stage on
the train split, over two first ones: ``grocery``, which was trained on the same photos before, and ``base``, which was
not, with ``--set name=base-match --set model.start=open-autoglm-base``. All was chosen on the validation split.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from _record import record

import open_autoglm
from open_autoglm.evaluation.retrieval import retrieval

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "grocery"
BUNDLES = {"grocery": "runs/grocery-match/bundle", "base": "runs/base-match/bundle"}
LOOKED_AT = 50
SHOWN = 10
QUICK = 10  # every tenth photo


def main() -> None:
    """Measures both bundles and records what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every tenth photo")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with test.parquet and classes.parquet")
    parser.add_argument("--split", default="test", choices=["val", "test"])
    parser.add_argument("--first", nargs="+", default=list(BUNDLES), choices=list(BUNDLES), help="which first stages")
    arguments = parser.parse_args()
    began = time.perf_counter()
    classes = pq.read_table(arguments.data / "classes.parquet", columns=["fine_id", "description"]).to_pylist()
    photos = pq.read_table(arguments.data / f"{arguments.split}.parquet", columns=["image", "fine_id"]).to_pylist()
    photos = photos[::QUICK] if arguments.quick else photos
    shown = {photo["fine_id"] for photo in photos}
    asked = [one for one in classes if one["fine_id"] in shown]
    fine = np.array([photo["fine_id"] for photo in photos])
    relevant = [set(np.flatnonzero(fine == one["fine_id"]).tolist()) for one in asked]
    settings: dict[str, object] = {"split": arguments.split, "looked_at": LOOKED_AT}
    figures = {"photos": float(len(photos)), "descriptions": float(len(asked))}
    with TemporaryDirectory() as folder:
        shelf = Path(folder) / "photos"
        shelf.mkdir()
        for number, photo in enumerate(photos):
            (shelf / f"{number}.jpg").write_bytes(photo["image"])
        for first in arguments.first:
            model = open_autoglm.load(BUNDLES[first])
            settings[first] = model.space
            with open_autoglm.Index.create(Path(folder) / f"{first}.index", model) as index:
                index.add(shelf)
                found = measured(index, [one["description"] for one in asked], relevant)
            figures |= {f"{first}_{name}": value for name, value in found.items()}
    record("rerank", settings, figures, time.perf_counter() - began)


def measured(index: open_autoglm.Index, texts: Sequence[str], relevant: list[set[int]]) -> dict[str, float]:
    """mAP of both stages and of a perfect second one, and how long they take."""

    def found(text: str, k: int, rerank: int = 0) -> list[int]:
        return [int(Path(hit.path).stem) for hit in index.search(text, k=k, cut=False, rerank=rerank)]

    first = [found(text, len(index)) for text in texts]
    best = [found(text, LOOKED_AT, LOOKED_AT) for text in texts]
    second = [looked + rest[LOOKED_AT:] for looked, rest in zip(best, first, strict=True)]
    ideal = [sorted(ranked[:LOOKED_AT], key=lambda one: one not in wanted) + ranked[LOOKED_AT:]
             for ranked, wanted in zip(first, relevant, strict=True)]  # fmt: skip
    maps = [retrieval(ranked, relevant).mean_average_precision for ranked in (first, second, ideal)]
    return {
        "first_stage_map": maps[0],
        "reranked_map": maps[1],
        "gain_points": 100 * (maps[1] - maps[0]),
        "perfect_second_stage_map": maps[2],
        "first_stage_p50_ms": 1000 * typical(lambda text: found(text, SHOWN), texts),
        "reranked_p50_ms": 1000 * typical(lambda text: found(text, SHOWN, LOOKED_AT), texts[::8]),
    }


def typical(search: Callable[[str], object], texts: Sequence[str]) -> float:
    """The median time of a search in seconds."""
    waits = []
    for text in texts:
        began = time.perf_counter()
        search(text)
        waits.append(time.perf_counter() - began)
    return median(waits)


if __name__ == "__main__":
    main()
