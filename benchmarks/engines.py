"""A bundle's towers on every engine, beside torch eager and plain ONNX Runtime quantisation, all in one process.

Rows: pictures, 16 at once and one; sentences of about 14 tokens, one and 16. For each engine and precision: how many
times as fast as torch eager in float32, and the mean cosine to its vectors. ``quantize_dynamic``: the float32 graph
through ``onnxruntime.quantization.quantize_dynamic`` as it is, which is what one would do without this project. The
sides take turns of seven runs each, of which five are counted: they find their own weights in the cache and not those
of another side, as where one model runs. ``first_times_faster``: the same of the turns' first runs, which find those of
others. Ratios are of medians.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from _record import record
from onnxruntime.quantization import QuantType, quantize_dynamic

import open_autoglm
from open_autoglm.compression.parity import normalised
from open_autoglm.modeling import OpenAutoGLM
from open_autoglm.runtime.engine import Engine, available_cores
from open_autoglm.runtime.engines import ENGINES
from open_autoglm.runtime.engines.onnx_runtime import open_session
from open_autoglm.runtime.engines.open_vino import whole
from open_autoglm.runtime.recording import SENTENCE

WARMING, COUNTED = 2, 5  # runs of a turn
SAMPLES = Path(__file__).parent.parent / "samples"
Run = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def main() -> None:
    """Measures every row and records it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one turn each, and pictures 4 at once at most")
    parser.add_argument("--model", default="open-autoglm-base")
    parser.add_argument("--threads", type=int, default=available_cores())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    logging.getLogger().setLevel(logging.ERROR)  # quantize_dynamic would print every node that it leaves out
    began = time.perf_counter()
    turns = {"image": 1, "text": 1} if arguments.quick else {"image": 3, "text": 9}
    model = open_autoglm.load(arguments.model, tuned=None)
    torch_model = OpenAutoGLM.from_pretrained(model.bundle.path).eval()
    most, figures = 4 if arguments.quick else 16, dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        for task, inputs in {"image": pictures(model, most), "text": sentences(model)}.items():
            sides = {"torch": torch_side(torch_model, model, task)}
            sides |= engine_sides(model, task, arguments.threads)
            sides["quantize_dynamic"] = plain_side(model, task, arguments.threads, Path(folder))
            for count in (len(next(iter(inputs.values()))), 1):
                batch = {name: array[:count] for name, array in inputs.items()}
                figures |= measured(f"{task}_{count}", sides, batch, turns[task])
    settings = {"model": model.space, "threads": arguments.threads, "turns": turns, "sentence": SENTENCE}
    record("engines", settings, figures, time.perf_counter() - began)


def pictures(model: open_autoglm.Model, count: int) -> dict[str, np.ndarray]:
    """Sample pictures as the graph takes them."""
    files = sorted(SAMPLES.glob("*/*.jpg"))
    return {"pixels": np.stack([model.prepare(file) for file in files[:: len(files) // count][:count]])}


def sentences(model: open_autoglm.Model, count: int = 16) -> dict[str, np.ndarray]:
    """The same number of tokens each, in other orders."""
    words = SENTENCE.split()
    texts = [" ".join(words[turn % len(words) :] + words[: turn % len(words)]) for turn in range(count)]
    ids, mask = model._tokenizer.batch(model._tokenizer.encode(texts))
    return {"input_ids": ids, "attention_mask": mask}


def torch_side(torch_model: OpenAutoGLM, model: open_autoglm.Model, task: str) -> Run:
    """The bundle's model in torch eager, float32."""

    @torch.no_grad()
    def run(inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        if task == "image":
            return torch_model.get_image_views(normalised(inputs["pixels"], model.preprocessing)).numpy()
        given = {name: torch.from_numpy(array) for name, array in inputs.items()}
        return torch_model.text_side(**given).whole.numpy()

    return run


def engine_sides(model: open_autoglm.Model, task: str, threads: int) -> dict[str, Run]:
    """Every precision of the bundle on every engine that is installed."""
    bundle, made = model.bundle, dict[str, Run]()
    for kind in ENGINES:
        if importlib.util.find_spec(kind) is None:
            print(f"{kind} is not installed: its rows are left out")
            continue
        for precision, graph in bundle.manifest.graphs[task].items():
            made[f"{kind}_{precision}"] = partial(through_engine, Engine(bundle, graph, threads, kind))
    return made


def through_engine(engine: Engine, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Vectors."""
    return engine.run(**inputs)


def plain_side(model: open_autoglm.Model, task: str, threads: int, folder: Path) -> Run:
    """The float32 graph, its weights in it, through ``quantize_dynamic`` with what it does by default."""
    source, target = folder / f"{task}.onnx", folder / f"{task}.int8.onnx"
    onnx.save(onnx.load_from_string(whole(model.bundle, model.bundle.graph(task, "fp32"))), source)
    quantize_dynamic(source, target, weight_type=QuantType.QUInt8)
    session: Any = open_session(target.read_bytes(), threads)
    return lambda inputs: session.run(["vectors"], dict(inputs))[0]


def measured(row: str, sides: Mapping[str, Run], batch: Mapping[str, np.ndarray], turns: int) -> dict[str, float]:
    """Milliseconds of torch, and of every other side how many times as fast and how close it is."""
    vectors = {name: side(batch) for name, side in sides.items()}
    first, counted = ({name: list[float]() for name in sides} for _ in range(2))
    for _ in range(turns):
        for name, side in sides.items():
            taken = [seconds(side, batch) for _ in range(WARMING + COUNTED)]
            first[name].append(taken[0])
            counted[name] += taken[WARMING:]
    cold, warm = ({name: statistics.median(taken) for name, taken in times.items()} for times in (first, counted))
    figures = {f"{row}_torch_ms": 1000 * warm["torch"]}
    for name in list(sides)[1:]:
        figures[f"{row}_{name}_times_faster"] = warm["torch"] / warm[name]
        figures[f"{row}_{name}_first_times_faster"] = cold["torch"] / cold[name]
        figures[f"{row}_{name}_cosine"] = float((vectors["torch"] * vectors[name]).sum(axis=-1).mean())
    return figures


def seconds(side: Run, batch: Mapping[str, np.ndarray]) -> float:
    """How long one run takes."""
    start = time.perf_counter()
    side(batch)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
