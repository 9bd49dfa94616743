"""Pictures a second from JPEG bytes to vectors: this runtime beside the same towers in torch eager with plain Pillow.

Both sides start from the same 640 x 480 JPEG files, decode, resize and embed; they alternate in one process, torch in
batches of 16. The runtime's side is the index itself, writing included. Beside it stand its halves alone, each with all
cores: reading and decoding, and the picture graph. ``share_of_slower``: the index beside the slower of them. Both need
the same cores, so that it cannot be above ``share_possible``: 1 / (1 + the faster's time / the slower's).
"""

from __future__ import annotations

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from _record import record
from PIL import Image

import open_autoglm
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.search.ingest import readers

BATCH = 16


def main() -> None:
    """Alternates the sides and records the median pictures a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2 rounds of 48 pictures instead of 5 of 96")
    parser.add_argument("--model", default="open-autoglm-base")
    parser.add_argument("--precision", help="fp32 or int8; the bundle's default otherwise")
    parser.add_argument("--engine", help="onnxruntime or openvino")
    parser.add_argument("--batch", type=int, help="pictures the model embeds at once")
    arguments = parser.parse_args()
    rounds, count = (2, 48) if arguments.quick else (5, 96)
    began = time.perf_counter()
    model = open_autoglm.load(arguments.model, precision=arguments.precision, engine=arguments.engine, tuned=None)
    model.batch_size = arguments.batch or model.batch_size
    torch_model = OpenAutoGLM.from_pretrained(model.bundle.path).eval()
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder) / "pictures"
        write_pictures(pictures, count)
        prepared = [model.prepare(file) for file in sorted(pictures.iterdir())]
        sides: dict[str, Callable[[], None]] = {
            "index": lambda: through_index(model, pictures),
            "decode": lambda: decode_only(model, pictures),
            "infer": lambda: infer_only(model, prepared),
            "torch": lambda: through_torch(torch_model, model, pictures),
        }
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(rounds + 1):
            for side, work in sides.items():
                start = time.perf_counter()
                work()
                rates[side].append(count / (time.perf_counter() - start))
    figures = {f"{side}_pictures_per_second": statistics.median(rate[1:]) for side, rate in rates.items()}
    ratios = [ours / theirs for ours, theirs in zip(rates["index"][1:], rates["torch"][1:], strict=True)]
    figures["times_faster"] = statistics.median(ratios)
    halves = [sorted(pair) for pair in zip(rates["decode"][1:], rates["infer"][1:], strict=True)]
    shares = [index / slower for index, (slower, _) in zip(rates["index"][1:], halves, strict=True)]
    figures["share_of_slower"] = statistics.median(shares)
    figures["share_possible"] = statistics.median(1 / (1 + slower / faster) for slower, faster in halves)
    settings = {
        "rounds": rounds,
        "pictures": count,
        "size": "640x480 JPEG",
        "batch": model.batch_size,
        "torch_batch": BATCH,
        "model": model.space,
        "precision": arguments.precision or "default",
        "engine": arguments.engine or "onnxruntime",
    }
    record("indexing", settings, figures, time.perf_counter() - began)


def write_pictures(folder: Path, count: int) -> None:
    """The sample pictures at 640 x 480, over and over, each a little different so that none is a duplicate."""
    folder.mkdir()
    samples = sorted((Path(__file__).parent.parent / "samples").glob("*/*.jpg"))
    for number in range(count):
        with Image.open(samples[number % len(samples)]) as sample:
            picture = sample.convert("RGB").resize((640, 480), Image.Resampling.BICUBIC)
        picture.putpixel((number % 640, number // 640), (number % 256, 0, 0))
        picture.save(folder / f"{number:04}.jpg", quality=85)


def through_index(model: open_autoglm.Model, pictures: Path) -> None:
    """Indexes the folder from nothing."""
    with tempfile.TemporaryDirectory() as folder:
        with open_autoglm.Index.create(Path(folder) / "new.index", model) as index:
            report = index.add(pictures)
        if report.skipped:
            raise SystemExit(f"{report.skipped[0]} was skipped")


def decode_only(model: open_autoglm.Model, pictures: Path) -> None:
    """Reads and decodes them as the index does."""
    with ThreadPoolExecutor(readers()) as pool:
        for _ in pool.map(lambda file: model.prepare(file.read_bytes()), sorted(pictures.iterdir())):
            pass


def infer_only(model: open_autoglm.Model, prepared: list[np.ndarray]) -> None:
    """Embeds pictures that are decoded already."""
    for start in range(0, len(prepared), model.batch_size):
        model.embed_prepared(np.stack(prepared[start : start + model.batch_size]))


@torch.no_grad()
def through_torch(torch_model: OpenAutoGLM, model: open_autoglm.Model, pictures: Path) -> None:
    """Decodes with Pillow, resizes, normalises and embeds in torch eager."""
    settings = model.preprocessing
    files = sorted(pictures.iterdir())
    mean, std = (torch.tensor(values)[:, None, None] for values in (settings.mean, settings.std))
    for start in range(0, len(files), BATCH):
        batch = []
        for file in files[start : start + BATCH]:
            with Image.open(io.BytesIO(file.read_bytes())) as picture:
                size = (settings.width, settings.height)
                batch.append(np.asarray(picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)))
        pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 255
        torch_model.get_image_views((pixels - mean) / std)


if __name__ == "__main__":
    main()
