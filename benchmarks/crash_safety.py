"""An index whose writer is killed (SIGKILL) at random moments, 200 times: is all that it said there?

A process adds, changes and deletes pictures and makes graphs, and says what is done; another kills it, opens the index,
and compares it with what was said: nothing acknowledged may be lost, and nothing else may have changed but the one step
that the kill fell into.
"""

from __future__ import annotations

import argparse
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from _record import record
from PIL import Image

from open_autoglm.runtime.images import ImageLimits, Preprocessing, prepare
from open_autoglm.runtime.similarity import Cosine, Queries
from open_autoglm.search import Index, upkeep

KILLS, PICTURES = 200, 300
LONGEST = 0.6  # seconds from the start of the work to the kill
SIDE = 8


class PixelModel:
    """A picture's vector is its pixels."""

    name, space, views, batch_size = "pixels", "pixels-1", 1, 16
    dimension = SIDE * SIDE * 3
    bundle = SimpleNamespace(path=Path("pixels"))
    similarity, limits = Cosine(), ImageLimits()
    preprocessing = Preprocessing(SIDE, SIDE, "squash", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))

    def embed_prepared(self, pixels: np.ndarray) -> np.ndarray:
        """The vectors [n, 1, d] of prepared pictures."""
        flat = pixels.reshape(len(pixels), -1).astype(np.float32) - 127.5
        return (flat / np.linalg.norm(flat, axis=1, keepdims=True))[:, None]

    def embed_images(self, images: list[Path]) -> np.ndarray:
        """The vectors [n, d] of pictures."""
        return self.embed_prepared(np.stack([prepare(image, self.preprocessing, self.limits) for image in images]))[
            :, 0
        ]

    def embed_queries(self, texts: list[str]) -> Queries:
        """Any vector will do."""
        return Queries(np.full((len(texts), self.dimension), self.dimension**-0.5, np.float32))

    def cutoff(self, texts: np.ndarray) -> np.ndarray:
        """Scores [q] below which nothing matches: here all does."""
        return np.full(len(texts), -1, np.float32)


def main() -> None:
    """Kills and compares, again and again, and records what went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="20 kills, for a look")
    parser.add_argument("--kills", type=int, help=f"how many; {KILLS} otherwise")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(Path(arguments.write[0]), int(arguments.write[1]))
        return
    began = time.perf_counter()
    kills = arguments.kills or (20 if arguments.quick else KILLS)
    figures = {"kills": kills, "unreadable": 0, "rows_lost": 0, "rows_wrong": 0, "rows_acknowledged": 0}
    figures |= {"kills_in_a_graph": 0, "kills_in_a_step": 0, "graphs_refused": 0}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(kills):
            once(Path(folder), number, figures)
    record("crash_safety", {"pictures": PICTURES, "quick": arguments.quick}, figures, time.perf_counter() - began)


def once(folder: Path, seed: int, figures: dict[str, int]) -> None:
    """One writer, killed; the index is then compared with what it said, and used by the next one."""
    process = subprocess.Popen(
        [sys.executable, __file__, "--write", str(folder), str(seed)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    before = state_of(folder)
    assert process.stdout.readline() == "ready\n"
    time.sleep(random.Random(seed).uniform(0, LONGEST))
    process.send_signal(signal.SIGKILL)
    said = [line.split() for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    process.wait()
    figures["rows_acknowledged"] += sum(line[0] in ("stored", "deleted") for line in said)
    begun = said[-1][0] if said else ""
    figures["kills_in_a_graph"] += begun == "graph"
    figures["kills_in_a_step"] += begun in ("adding", "deleting")
    try:
        compare(folder, before, said, figures)
    except Exception as error:  # whatever it is, that is what is counted
        print(f"kill {seed}: {type(error).__name__}: {error}")
        figures["unreadable"] += 1


def state_of(folder: Path) -> dict[str, int]:
    """The size of each picture's file, as the index has it."""
    database = folder / "crash.index/index.sqlite"
    if not database.exists():
        return {}
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT name, size FROM pictures"))


def compare(folder: Path, expected: dict[str, int], said: list[list[str]], figures: dict[str, int]) -> None:
    """Counts what is lost or wrong."""
    unsure: set[str] = set()
    for what, *names in said:
        if what in ("adding", "deleting"):
            unsure = {name.partition(":")[0] for name in names}
        elif what in ("stored", "deleted"):
            name, _, size = names[0].partition(":")
            unsure.discard(name)
            if what == "stored":
                expected[name] = int(size)
            else:
                expected.pop(name, None)
    with closing(sqlite3.connect(folder / "crash.index/index.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert not connection.execute("PRAGMA foreign_key_check").fetchall()
    with Index.open(folder / "crash.index", PixelModel()) as index:  # type: ignore[arg-type]
        there = state_of(folder)
        figures["rows_lost"] += sum(name not in there for name in expected if name not in unsure)
        figures["rows_wrong"] += sum(expected.get(name) != size for name, size in there.items() if name not in unsure)
        hits = index.search("all", k=10 * PICTURES, cut=False)
        assert sorted(Path(hit.path).name for hit in hits) == sorted(there)
        figures["graphs_refused"] += bool(index.check(queries=5).problem)
        for hit in hits[:5]:
            size = there[Path(hit.path).name]
            if size == Path(hit.path).stat().st_size:
                figures["rows_wrong"] += index.search(image=hit.path, k=1)[0].score < 0.999


def write(folder: Path, seed: int) -> None:
    """Works until killed, and says what it does."""
    upkeep.EXACT_VECTORS = 50
    rng = random.Random(seed)
    (folder / "photos").mkdir(exist_ok=True)
    index = Index.create(folder / "crash.index", PixelModel(), exist_ok=True)  # type: ignore[arg-type]
    say("ready")
    while True:
        step = rng.random()
        if step < 0.1:
            say("graph")
            index.optimize(again=True)
            say("made")
        elif step < 0.3:
            ids = [hit.id for hit in index.search("all", k=PICTURES, cut=False)]
            for id in rng.sample(ids, min(len(ids), 10)):
                name = index.get(id).name
                say("deleting", name)
                index.delete(id)
                say("deleted", name)
        else:
            paths = [
                paint(folder / "photos" / f"{rng.randrange(PICTURES)}.png", rng) for _ in range(rng.randint(1, 40))
            ]
            sizes = {str(path): f"{path.name}:{path.stat().st_size}" for path in paths}
            say("adding", *sizes.values())
            index.add(paths, progress=lambda now, sizes=sizes: say("stored", sizes[now.path]))  # type: ignore[misc]


def paint(path: Path, rng: random.Random) -> Path:
    """A file of noise, of a size that hardly any other has, in place of the one before."""
    pixels = np.frombuffer(rng.randbytes(SIDE * SIDE * 3), np.uint8).reshape(SIDE, SIDE, 3)
    fresh = path.with_suffix(".new")
    Image.fromarray(pixels).save(fresh, "PNG")
    with fresh.open("ab") as file:
        file.write(bytes(rng.randrange(1, 100_000)))
    return fresh.replace(path)


def say(*words: str) -> None:
    """One line, at once."""
    print(*words, flush=True)


if __name__ == "__main__":
    main()
