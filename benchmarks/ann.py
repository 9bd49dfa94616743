"""How fast the nearest of a million pictures are found; and of fewer, beside faiss, usearch, hnswlib and LanceDB.

Queries come from elsewhere than the pictures, as texts do, and have one thread each; ours is asked through the public
index: ``ours`` searches, records included, ``ours_bare`` asks for ids and scores alone, as graphs give them.
``beside_``: at equal recall, all sides in one process and asked in turns; ``together``: a hundred at once.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from _graph_sides import SIDES, Side
from _index_parts import best_rows, recall
from _record import record
from _vectors import Floats, World

from open_autoglm.runtime.heap import give_back
from open_autoglm.search.frozen import FILE

DIMENSION = 512
RECALLS = (0.90, 0.95, 0.99)
TUNING, ASKED = 300, 1000  # queries that an effort is chosen with, and those that are timed
ROUNDS = 10


def main() -> None:
    """Measures every side in turn and records one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20,000 vectors and fewer queries, for a look")
    parser.add_argument("--vectors", type=int, help="how many for ours alone; 1,000,000 otherwise")
    parser.add_argument("--beside", type=int, help="how many for all sides; 200,000 otherwise")
    parser.add_argument("--threads", type=int, default=1, help="for making the graphs; ours takes the cores there are")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=list(SIDES))
    parser.add_argument("--folder", type=Path, help="where to work; in the system's own otherwise")
    parser.add_argument("--measured", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    asked = 200 if arguments.quick else ASKED
    if arguments.measured:
        print(json.dumps(measure(arguments.sides, arguments.folder, arguments.threads, asked)))
        return
    if missing := [name for name in ("faiss", "usearch", "hnswlib", "lancedb") if find_spec(name) is None]:
        parser.error(f"{', '.join(missing)} not installed: pip install -c constraints.txt -e '.[bench]'")
    began = time.perf_counter()
    many = arguments.vectors or (20_000 if arguments.quick else 1_000_000)
    fewer = arguments.beside or (20_000 if arguments.quick else 200_000)
    figures = sides(["ours"], many, asked, arguments)
    beside = sides(arguments.sides, fewer, asked, arguments)
    figures |= {f"beside_{name}": value for name, value in beside.items()}
    settings = {"dimension": DIMENSION, "threads": arguments.threads, "asked": asked, "quick": arguments.quick}
    record("ann", settings, figures, time.perf_counter() - began)
    show(arguments.sides, beside)


def sides(names: list[str], count: int, asked: int, arguments: argparse.Namespace) -> dict[str, float]:
    """The figures of some sides over the same vectors, in a process of their own."""
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write_vectors(Path(folder), count, TUNING + asked)
        command = [sys.executable, __file__, "--measured", "--folder", folder, "--threads", str(arguments.threads)]
        command += ["--sides", *names, *(["--quick"] if arguments.quick else [])]
        environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # faiss and the others are told of threads one by one
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return {"vectors": count, **json.loads(done.stdout.splitlines()[-1])}


def write_vectors(folder: Path, count: int, queries: int) -> None:
    """Vectors, queries and the right answers, as files that every side maps."""
    world = World.make(DIMENSION)
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (count, DIMENSION))
    for start in range(0, count, 50_000):
        part = world.pictures(min(50_000, count - start), seed=1 + start)
        vectors[start : start + len(part)] = part.astype(np.float16)  # as an index keeps them
    vectors.flush()
    asked = world.queries(queries, seed=2)
    np.save(folder / "queries.npy", asked)
    np.save(folder / "best.npy", best_rows(asked, vectors))


def measure(names: Sequence[str], folder: Path, threads: int, asked: int) -> dict[str, float]:
    """The figures of sides; of recalls that one does not reach there are none. Memory is handled as by ``autoglm``."""
    give_back()
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    queries, best = np.load(folder / "queries.npy"), np.load(folder / "best.npy")
    made = {name: SIDES[name](folder, vectors, queries, threads) for name in names}
    figures = {}
    for name, side in made.items():
        figures |= {f"{name}_build_s": side.build_s} if side.build_s else {}
        figures[f"{name}_bytes_a_vector"] = side.bytes() / len(vectors)
    efforts = {name: efforts_of(side, queries, best) for name, side in made.items()}
    for share in RECALLS:
        able = {name: partial(made[name].ask, effort=efforts[name][share]) for name in made if share in efforts[name]}
        for name, (times, found) in in_turns(able, queries, asked).items():
            label = f"{name}_at_{round(100 * share)}"
            figures[f"{label}_recall"] = recall(found, best[TUNING:])
            figures[f"{label}_per_s"] = float(np.median([len(part) / sum(part) for part in times]))
            figures[f"{label}_p95_ms"] = 1000 * float(np.percentile(np.concatenate(times), 95))
            figures[f"{label}_effort"] = efforts[name][share]
        together = {name: partial(made[name].ask_all, effort=efforts[name][share]) for name in able}
        for name, times in in_parts(together, queries, asked).items():
            size = asked // ROUNDS
            figures[f"{name}_at_{round(100 * share)}_together_per_s"] = float(np.median([size / one for one in times]))
    return figures | (as_opened(folder, queries, best, asked) if names == ["ours"] else {})


def efforts_of(side: Side, queries: Floats, best: np.ndarray) -> dict[float, int]:
    """The least effort that reaches each recall."""
    found: dict[float, int] = {}
    for effort in side.efforts:
        reached = recall([side.ask(number, queries[number], effort) for number in range(TUNING)], best[:TUNING])
        found |= {share: effort for share in RECALLS if reached >= share and share not in found}
        if len(found) == len(RECALLS):
            break
    return found


def in_turns(
    sides: Mapping[str, Callable[..., list[int]]], queries: Floats, asked: int
) -> dict[str, tuple[list[list[float]], list[list[int]]]]:
    """Seconds of each query, a list a round, and what each found; before a side is timed it answers a few."""
    done: dict[str, tuple[list[list[float]], list[list[int]]]] = {name: ([], []) for name in sides}
    for start in range(TUNING, TUNING + asked, asked // ROUNDS):
        for name, ask in sides.items():
            for number in range(20):
                ask(number, queries[number])
            times, found = [], done[name][1]
            for number in range(start, start + asked // ROUNDS):
                before = time.perf_counter()
                found.append(ask(number, queries[number]))
                times.append(time.perf_counter() - before)
            done[name][0].append(times)
    return done


def in_parts(
    sides: Mapping[str, Callable[..., list[list[int]]]], queries: Floats, asked: int
) -> dict[str, list[float]]:
    """Seconds of each part of the queries, asked at once; before a side is timed it answers a few."""
    done: dict[str, list[float]] = {name: [] for name in sides}
    for start in range(TUNING, TUNING + asked, asked // ROUNDS):
        for name, ask in sides.items():
            ask(0, queries[:20])
            before = time.perf_counter()
            ask(start, queries[start : start + asked // ROUNDS])
            done[name].append(time.perf_counter() - before)
    return done


OPENED = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
import numpy as np
from _index_parts import VectorModel
from ann import resident
from open_autoglm.search import Index
queries = np.load(sys.argv[3])
Index.open(sys.argv[2]).close()
import faiss
before = time.perf_counter()
index = Index.open(sys.argv[2], VectorModel(queries))
index.search("0", cut=False)
opened = time.perf_counter() - before
times, found = [], []
for number in range(int(sys.argv[4]), len(queries)):
    before = time.perf_counter()
    found.append([hit.id - 1 for hit in index.search(str(number), cut=False)])
    times.append(time.perf_counter() - before)
print(json.dumps([opened, times, found, resident()]))
"""


def as_opened(folder: Path, queries: Floats, best: np.ndarray, asked: int) -> dict[str, float]:
    """What an index does with nothing set, in a process that has done nothing else: what a user sees."""
    command = [sys.executable, "-c", OPENED, str(Path(__file__).parent), str(folder / "ours.index")]
    command += [str(folder / "queries.npy"), str(TUNING)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    opened, times, found, memory = json.loads(done.stdout)
    return {
        "opened_recall": recall(found, best[TUNING:]),
        "opened_p50_ms": 1000 * float(np.median(times)),
        "opened_p95_ms": 1000 * float(np.percentile(times, 95)),
        "opened_resident_gb": memory,
        "open_and_first_search_s": opened,
        "map_gb": (folder / "ours.index" / FILE).stat().st_size / 1e9,
    }


def resident() -> float:
    """GB of this process that lie in memory, mapped files among them."""
    found = re.search(r"Rss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(encoding="utf-8"))
    return int(found[1]) * 1024 / 1e9 if found else float("nan")


def show(sides: list[str], figures: dict[str, float]) -> None:
    """The table: a line a side."""
    at = [f"at_{round(100 * share)}_{what}" for share in RECALLS for what in ("per_s", "together_per_s", "p95_ms")]
    columns = ["build_s", "bytes_a_vector", *at]
    print(f"\n{'':<12}" + "".join(f"{column:>21}" for column in columns))
    for side in sides:
        values = [figures.get(f"{side}_{column}") for column in columns]
        print(f"{side:<12}" + "".join(f"{'-' if value is None else format(value, '.4g'):>21}" for value in values))


if __name__ == "__main__":
    main()
