"""Bulk embedding on Ray: one worker of one thread beside two, and runs killed with -9 at random moments and resumed.

Each side embeds the same 640 x 480 JPEG files into a dataset of its own, the start of its workers and the loading of
their models included; the cluster is there before. ``speed_up`` is that of two workers. ``rows_that_differ``: rows of
the runs that were killed which are not, byte for byte, those of a run that was not; missing ones count.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import ray
from _record import record
from PIL import Image

import open_autoglm
from open_autoglm.errors import IndexStoreError
from open_autoglm.runtime.model import Model
from open_autoglm.search.bulk import OnRay, embed
from open_autoglm.search.bulk.dataset import Dataset

PART, SMALL_PART = 64, 16  # pictures; where runs are killed, parts are small, so that there are many
BUNDLE = "open-autoglm-base"
KILLED = """
import sys
from functools import partial
import open_autoglm
from open_autoglm.search.bulk import OnRay, embed
source, out, cluster, part = sys.argv[1:]
load = partial(open_autoglm.load, threads=1)
embed(source, out, open_autoglm.load(), part_size=int(part), executor=OnRay.connect(cluster, load, 2))
"""


def main() -> None:
    """Measures and records both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of 256 pictures and one kill, for a look")
    quick = parser.parse_args().quick
    count, rounds, kills = (256, 1, 1) if quick else (3_072, 3, 10)
    began = time.perf_counter()
    model = open_autoglm.load(BUNDLE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "pictures", count)
        draw(folder / "few", 96)
        cluster = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False).address_info["gcs_address"]
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for number in range(rounds):
            for workers, times in seconds.items():
                times.append(timed(folder / "pictures", folder / f"{number}-{workers}.lance", model, cluster, workers))
        differing = after_kills(folder / "few", folder, model, cluster, kills)
        ray.shutdown()
    one, two = (statistics.median(seconds[workers]) for workers in (1, 2))
    settings = {"pictures": count, "rounds": rounds, "kills": kills, "part": PART, "quick": quick}
    figures = {
        "pictures_per_second_1_worker": count / one,
        "pictures_per_second_2_workers": count / two,
        "speed_up": one / two,
        "kills": kills,
        "rows_that_differ": differing,
    }
    record("bulk", settings, figures, time.perf_counter() - began)


def timed(source: Path, out: Path, model: Model, cluster: str, workers: int) -> float:
    """Seconds of embedding a folder with so many workers."""
    before = time.perf_counter()
    load = partial(open_autoglm.load, BUNDLE, threads=1)
    report = embed(source, out, model, part_size=PART, executor=OnRay.connect(cluster, load, workers))
    assert not report.skipped
    return time.perf_counter() - before


def after_kills(source: Path, folder: Path, model: Model, cluster: str, kills: int) -> int:
    """Rows that differ between a run killed so many times at random moments, then resumed, and one that was not."""
    moments = random.Random(0)
    whole = folder / "whole.lance"
    ray_workers = OnRay.connect(cluster, partial(open_autoglm.load, threads=1))
    embed(source, whole, model, part_size=SMALL_PART, executor=ray_workers)
    for number in range(kills):
        # Each of them is begun anew for every third kill: a run that is finished cannot be killed at work.
        out = folder / f"killed-{number // 3}.lance"
        command = [sys.executable, "-c", KILLED, str(source), str(out), cluster, str(SMALL_PART)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wanted = stored(out) + SMALL_PART
        while process.poll() is None and stored(out) < min(wanted, len(list(source.iterdir()))):
            time.sleep(0.05)
        time.sleep(moments.random())
        process.kill()
        process.wait()
    differing = 0
    for killed in sorted(folder.glob("killed-*.lance")):
        embed(source, killed, model, part_size=SMALL_PART)
        differing += len(rows(whole) ^ rows(killed))
    return differing


def stored(out: Path) -> int:
    """Rows that a dataset has so far."""
    try:
        return len(rows(out))
    except IndexStoreError:
        return 0


def rows(out: Path) -> set[tuple[object, ...]]:
    """What identifies each row, its vectors included."""
    found = list(Dataset.open(str(out)).rows(with_vectors=True))
    assert len({row.id for row in found}) == len(found), "a row is there twice"
    return {(row.id, row.part, row.key, row.sha256, row.vectors.tobytes()) for row in found if row.vectors is not None}


def draw(folder: Path, count: int) -> None:
    """JPEG files of coloured blocks, as large to decode as photos are."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        blocks = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((640, 480), Image.Resampling.BICUBIC).save(folder / f"{number:05}.jpg")


if __name__ == "__main__":
    main()
