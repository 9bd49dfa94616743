"""What int8 costs and saves: the shipped bundles in fp32 and in int8, and the picture graph as ONNX Runtime makes it.

For each bundle its size on disk, each graph's cosine (or share of the same answers) and speedup over fp32, and its own
benchmark in both precisions: photo search (``coco128/dev``), groceries named (``--split``), NLVR (``dev``). The bundles
are quantised here, calibrated on training pictures; the shipped ones are left as they are. ``lost``: fp32 less int8.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pyarrow.parquet as pq
from _naive_int8 import naive_dynamic, naive_static
from _record import record
from grocery import groceries
from nlvr import judge, orders
from photo_search import photos

import open_autoglm
from open_autoglm.bundle import Bundle
from open_autoglm.compression.folding import inlined
from open_autoglm.compression.graph_inputs import picture_inputs
from open_autoglm.compression.int8_bundle import Checks, Int8Settings, quantise_bundle
from open_autoglm.compression.int8_parity import speedup
from open_autoglm.compression.sentences import SENTENCES
from open_autoglm.compression.static_int8 import mean_cosine, outputs_of

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
NAMES = ("base", "grocery", "nlvr")


def main() -> None:
    """Quantises, measures and records."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the grocery bundle alone, and few pictures")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--split", default="val", choices=["val", "test"], help="of the groceries")
    parser.add_argument("--bundles", nargs="+", choices=NAMES, default=None)
    parser.add_argument("--pictures", type=int, default=64, help="to calibrate with")
    parser.add_argument("--naive", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    began, every = time.perf_counter(), 10 if arguments.quick else 1
    names = arguments.bundles or (("grocery",) if arguments.quick else NAMES)
    count = 8 if arguments.quick else arguments.pictures
    qualities: dict[str, Callable[[open_autoglm.Model], dict[str, float]]] = {
        "base": lambda model: photos(model, arguments.data / "coco128" / "dev.parquet"),
        "grocery": lambda model: groceries(model, arguments.data / "grocery", arguments.split, every),
        "nlvr": partial(reasoning, source=arguments.data / "nlvr" / "dev.parquet", every=every),
    }
    figures: dict[str, float] = {}
    for name in names:
        source = Bundle.open(f"open-autoglm-{name}")
        checks = material(name, arguments.data, count)
        figures |= {f"{name}_{key}": value for key, value in sides(source, checks, qualities[name]).items()}
        if arguments.naive and "image" in source.manifest.graphs:
            figures |= {f"{name}_{key}": value for key, value in naive(source, checks).items()}
    settings = {"bundles": list(names), "split": arguments.split, "pictures": count, "quick": arguments.quick}
    record("compression", settings, figures, time.perf_counter() - began)


def material(name: str, data: Path, count: int) -> Checks:
    """Training pictures to calibrate with, others to compare on, and sentences."""
    if name != "nlvr":
        calibration, check = (
            pq.read_table(data / "grocery" / f"{split}.parquet", columns=["image"]).column("image").to_pylist()
            for split in ("train", "val")
        )
        return Checks(spread(calibration, count), spread(check, count // 2))
    rows = pq.read_table(data / "nlvr" / "train_sample.parquet", columns=["image", "sentence"]).to_pylist()
    first, other = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    pictures = ([row["image"] for row in part] for part in (first, other))
    calibration, check = (spread(part, count) for part in pictures)
    return Checks(calibration, check, [row["sentence"] for row in spread(other, 24)] or SENTENCES)


def spread(values: list, count: int) -> list:
    """So many of them, evenly taken."""
    return values[:: max(1, len(values) // count)][:count]


def sides(
    source: Bundle, checks: Checks, quality: Callable[[open_autoglm.Model], dict[str, float]]
) -> dict[str, float]:
    """Sizes, parity and quality of a bundle in both precisions."""
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        both = quantise_bundle(source, Path(folder) / "both", checks, Int8Settings(least_speedup=0))
        alone = quantise_bundle(source, Path(folder) / "alone", checks, Int8Settings(least_speedup=0, only=True))
        for what, path in (("fp32", source.path), ("both", both.path), ("int8", alone.path)):
            figures[f"megabytes_{what}"] = size(path) / 1e6
        for task, parity in both.parity.items():
            figures |= {f"{task}_{key}": value for key, value in parity.items() if key != "bytes"}
        found = {
            precision: quality(open_autoglm.load(both.path, precision=precision)) for precision in ("fp32", "int8")
        }
    for key, value in found["fp32"].items():
        figures |= {f"{key}_fp32": value, f"{key}_int8": found["int8"][key], f"{key}_lost": value - found["int8"][key]}
    return figures


def size(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def reasoning(model: open_autoglm.Model, source: Path, every: int = 1) -> dict[str, float]:
    """The share of pictures and orders of boxes that a sentence is judged right of."""
    rows = pq.read_table(source, columns=["sentence", "label", "image"]).to_pylist()[::every]
    right = [
        judge(model.fusion, picture, row["sentence"])[0] == row["label"]
        for row in rows
        for picture in orders(row["image"])
    ]
    return {"accuracy": float(np.mean(right))}


def naive(source: Bundle, checks: Checks) -> dict[str, float]:
    """The picture graph of a bundle as ONNX Runtime's quantiser makes it: mean cosine, and speedup over fp32."""
    model = open_autoglm.Model(source, precision="fp32")
    proto = inlined(source, source.graph("image", "fp32"))
    inputs, checked = (picture_inputs(model, "image", some) for some in (checks.calibration, checks.pictures))
    wanted, figures = outputs_of(proto, checked), dict[str, float]()
    reference = session(proto)
    made = {
        "dynamic": naive_dynamic(proto),
        "static": naive_static(proto, inputs, per_channel=False),
        "static_per_channel": naive_static(proto, inputs, per_channel=True),
    }
    for name, quantised in made.items():
        side = session(quantised)
        figures[f"naive_{name}_cosine"] = mean_cosine(wanted, outputs_of(quantised, checked))
        figures[f"naive_{name}_speedup"] = speedup(
            lambda: reference.run(None, dict(checked[0])), partial(side.run, None, dict(checked[0]))
        )
    return figures


def session(proto: object) -> ort.InferenceSession:
    """A graph ready to run."""
    return ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
