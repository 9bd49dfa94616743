"""Whether memory stays flat over many pictures: of all sizes, formats and orientations, and some broken.

Each is decoded, resized and embedded as indexing does it, in a process that gives memory back as ours do. After a
warm-up, resident memory is noted every 500 pictures; figures are how far apart the lowest and the highest are, and the
slope of the line through them.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path

import numpy as np
import psutil
from _record import record
from PIL import Image

import open_autoglm
from open_autoglm.errors import ImageError
from open_autoglm.runtime.engines import DEFAULT
from open_autoglm.runtime.heap import give_back

SAMPLES = Path(__file__).parent.parent / "samples"
FORMATS = ("JPEG", "JPEG", "JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
SIDES = (60, 200, 333, 640, 1024, 1600, 2400)
ORIENTATION = 0x0112
DIFFERENT = 240  # pictures made in advance; the next ones are these again


def main() -> None:
    """Runs them all and records the series."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="300 pictures, noted every 30, instead of 10,000")
    parser.add_argument("--model", default="models/open-autoglm-grocery")
    parser.add_argument("--precision", help="fp32 or int8; the bundle's default otherwise")
    parser.add_argument("--engine", default=DEFAULT)
    arguments = parser.parse_args()
    began = time.perf_counter()
    count, every = (300, 30) if arguments.quick else (10_000, 500)
    give_back()
    model = open_autoglm.load(arguments.model, precision=arguments.precision, engine=arguments.engine, tuned=None)
    files = mixed(60 if arguments.quick else DIFFERENT)
    embed(model, files, len(files))
    series, refused = [resident()], 0
    for start in range(0, count, every):
        refused += embed(model, files, every, start)
        series.append(resident())
    slope = float(np.polyfit(np.arange(len(series)) * every / 1000, series, 1)[0])
    figures = {
        "pictures": count,
        "refused": refused,
        "resident_mib": series[-1],
        "apart_mib": max(series) - min(series),
        "slope_mib_per_1000": slope,
    }
    settings = {
        "model": model.space,
        "precision": arguments.precision or "default",
        "engine": arguments.engine,
        "batch": model.batch_size,
        "every": every,
        "series_mib": [round(value, 1) for value in series],
    }
    record("memory", settings, figures, time.perf_counter() - began)


def embed(model: open_autoglm.Model, files: list[bytes], count: int, start: int = 0) -> int:
    """Embeds ``count`` pictures, from the one at ``start`` on; how many were refused."""
    waiting: list[np.ndarray] = []
    refused = 0
    for number in range(start, start + count):
        try:
            waiting.append(model.prepare(files[number % len(files)]))
        except ImageError:
            refused += 1
        if len(waiting) == model.batch_size:
            model.embed_prepared(np.stack(waiting))
            waiting.clear()
    if waiting:
        model.embed_prepared(np.stack(waiting))
    return refused


def resident() -> float:
    """MiB of this process that lie in memory."""
    return float(psutil.Process().memory_info().rss) / 2**20


def mixed(count: int) -> list[bytes]:
    """Encoded pictures; one in twelve is cut short, and one in forty is none."""
    random = np.random.default_rng(0)
    samples = sorted(SAMPLES.glob("*/*.jpg"))
    files = []
    for number in range(count):
        with Image.open(samples[int(random.integers(len(samples)))]) as sample:
            picture = sample.convert("RGB")
        size = (int(random.choice(SIDES)), int(random.choice(SIDES)))
        kind = str(random.choice(FORMATS))
        exif = Image.Exif()
        exif[ORIENTATION] = int(random.integers(1, 9))
        mode = str(random.choice(["RGB", "RGB", "L", "CMYK"] if kind in ("JPEG", "TIFF") else ["RGB", "L"]))
        encoded = io.BytesIO()
        facts = {"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}
        picture.resize(size).convert(mode).save(encoded, kind, **facts)
        data = encoded.getvalue()
        if number % 40 == 39:
            data = random.bytes(1000)
        elif number % 12 == 11:
            data = data[: len(data) // 2]
        files.append(data)
    return files


if __name__ == "__main__":
    main()
